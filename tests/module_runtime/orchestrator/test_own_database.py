"""The orchestrator's own tables on a server, and passwords of what it lends in its own store."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.cli import command
from sdk.module_runtime.orchestrator import runtime
from sdk.module_runtime.orchestrator.secrets.key_sources import load_keys
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.stack import read_stack
from sdk.module_runtime.orchestrator.stored_passwords import StoredPasswords
from sdk.service.database import Database
from support.databases import empty_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    arguments = json.dumps([sys.executable, str(Path(__file__).parent / "programs" / "notes_module.py")])
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
