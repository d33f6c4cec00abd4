"""The orchestrator's own tables on a server, and passwords of what it lends in its own store."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from aiohttp import ClientSession
from click.testing import CliRunner

from sdk.core.errors import ConfigurationError, StorageError
from sdk.module_runtime.cli import command
from sdk.module_runtime.orchestrator import happenings, runtime
from sdk.module_runtime.orchestrator.secrets.key_sources import load_keys
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.stack import read_stack
from sdk.module_runtime.orchestrator.stored_passwords import StoredPasswords
from sdk.service.database import Database
from support.databases import empty_database
from support.own_servers import own_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sdk.module_runtime.orchestrator.happenings import Happening

PROGRAMS = Path(__file__).parent / "programs"
PATIENCE = 60
DEAD = """
[orchestrator]
database_environment = "OWN_DATABASE"
[gateway]
[modules.web]
kind = "module"
command = {command}
restart = {{ first_delay = 0.01 }}
"""
STACK = """
[orchestrator]
database_environment = "OWN_DATABASE"
database_schema = "{schema}"

[secrets]
key = "file:key"

[modules.notes]
kind = "module"
command = {command}

[modules.notes.databases.main]
db_type = "postgres"
database = "notes"
password_secret = "NOTES_PASSWORD"
"""


@pytest.fixture(params=["postgresql", "mariadb"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    with empty_database(request.param, tmp_path) as (url, schema):
        assert schema is not None
        yield url, schema


@pytest.fixture
def secrets(own: tuple[str, str], tmp_path: Path) -> Callable[..., None]:
    """``sdk runtime secrets`` beside the stack."""
    url, schema = own
    arguments = json.dumps([sys.executable, str(PROGRAMS / "notes_module.py")])
    (tmp_path / "stack.toml").write_text(STACK.format(schema=schema, command=arguments))
    runner = CliRunner(env={"SDK_RUNTIME_STACK": str(tmp_path / "stack.toml"), "OWN_DATABASE": url})

    def invoke(*words: str, given: str = "") -> None:
        assert runner.invoke(command, ["secrets", *words], input=given, catch_exceptions=False).exit_code == 0

    invoke("init")
    return invoke


async def test_a_stack_keeps_its_records_where_a_variable_and_a_schema_say(
    own: tuple[str, str], secrets: Callable[..., None], tmp_path: Path
) -> None:
    url, schema = own
    stack = read_stack(tmp_path / "stack.toml")
    with pytest.raises(ConfigurationError, match="database_environment names OWN_DATABASE, which is not set"):
        await runtime.run(stack, asyncio.Event(), environ={})
    with pytest.raises(ConfigurationError, match="password_secret names NOTES_PASSWORD, which is not set"):
        await runtime.run(stack, asyncio.Event(), environ={"OWN_DATABASE": url})
    await asyncio.to_thread(secrets, "set", "NOTES_PASSWORD", given="hunter2-once")
    stop = asyncio.Event()
    stop.set()
    await runtime.run(stack, stop, environ={"OWN_DATABASE": url})
    assert not (tmp_path / ".runtime" / "runtime.sqlite").exists()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        kinds = connection.exec_driver_sql(f"SELECT kind FROM {schema}.runtime_events").scalars().all()
    engine.dispose()
    assert kinds.count("orchestrator") == 2


async def test_a_stored_password_is_followed_and_forgotten(
    own: tuple[str, str], secrets: Callable[..., None], tmp_path: Path
) -> None:
    url, schema = own
    async with await Database.open(url, schema=schema) as database:
        store = await SecretStore.open(database, load_keys(f"file:{tmp_path / 'key'}"))
        passwords = StoredPasswords(store, ["NOTES_PASSWORD", "OTHER"])
        for value in ("hunter2-once", "hunter2-again"):
            await asyncio.to_thread(secrets, "set", "NOTES_PASSWORD", given=value)
            for _ in range(2):
                await passwords.refresh()
            assert passwords.values == {"NOTES_PASSWORD": value}
        assert [row.operation for row in await store.audit("NOTES_PASSWORD")] == ["get", "rotate", "get", "set"]
        await store.delete(["NOTES_PASSWORD"], actor="operator:test")
        await passwords.refresh()
        assert passwords.values == {}


async def until_answers(url: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await (await Database.open(url)).close()
            except StorageError:
                await asyncio.sleep(0.1)
            else:
                return


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_while_the_orchestrators_own_database_is_dead_modules_are_served_and_no_record_is_lost(
    kind: str, tmp_path: Path
) -> None:
    web = json.dumps([sys.executable, str(PROGRAMS / "web_module.py")])
    (tmp_path / "stack.toml").write_text(DEAD.format(command=web))
    stop, changed, states = asyncio.Event(), asyncio.Event(), Counter[str]()

    def take(happening: Happening) -> None:
        if happening.kind == happenings.STATE:
            states[happening.detail["state"]] += 1
        changed.set()

    async def until_ready(times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while states["ready"] < times:
                changed.clear()
                await changed.wait()

    with own_servers([kind]) as servers:
        server = servers[kind]
        stack, environ = read_stack(tmp_path / "stack.toml"), {**os.environ, "OWN_DATABASE": server.url}
        async with runtime.running(stack, stop, environ=environ, on_happening=take) as running:
            task = asyncio.create_task(running.orchestrator.run(stop))
            await until_ready(1)
            await asyncio.to_thread(server.kill)
            async with ClientSession(running.orchestrator.board.api) as client:
                for crashes in range(1, 4):
                    async with client.get("/die") as answer:
                        assert answer.status == 502
                    await until_ready(1 + crashes)
                    async with client.get("/hello/you") as answer:
                        assert answer.status == 200
            await running.orchestrator.modules["web"].replace()
            server.start()
            await until_answers(server.url)
            stop.set()
            await task
        engine = sa.create_engine(server.url)
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT kind, detail FROM runtime_events ORDER BY id").all()
        engine.dispose()
    written = Counter(json.loads(detail)["state"] for each, detail in found if each == happenings.STATE)
    assert written == states
    assert [each for each, _ in found].count(happenings.REPLACED) == 1
