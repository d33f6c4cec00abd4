"""Real processes killed in the middle of their writes: nothing acknowledged is lost, no transaction is half there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.data.database import open_database
from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.commands import SDK, clean_environment
from support.host_link import scope_of
from support.module_databases import KINDS, module_database
from support.processes import is_alive
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sdk.module_runtime.data.database import DatabaseConfig

WRITER = Path(__file__).parent / "programs" / "writer_module.py"
PATIENCE = 60


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseConfig]:
    with module_database(request.param, tmp_path) as made:
        yield made


async def prepare(config: DatabaseConfig) -> None:
    database = await open_database(config)
    await database.execute("CREATE TABLE pairs (n BIGINT, part INTEGER, PRIMARY KEY (n, part))")
    await database.execute("CREATE TABLE singles (n BIGINT PRIMARY KEY)")
    await database.close()


class Written:
    """What the module has been told is done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def numbers(self, word: str) -> list[int]:
        text = self._path.read_text() if self._path.exists() else ""
        return [int(line.split()[1]) for line in text.splitlines() if line.startswith(word)]

    def was_started(self, times: int) -> bool:
        return len(self.numbers("PID")) == times

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)

    async def until_more(self, pairs: int) -> None:
        before = len(self.numbers("PAIR"))
        await self.until(lambda: len(self.numbers("PAIR")) >= before + pairs)


async def check(config: DatabaseConfig, written: Written) -> None:
    database = await open_database(config)
    parts: dict[int, list[int]] = {}
    for row in await database.query("SELECT n, part FROM pairs ORDER BY n, part"):
        parts.setdefault(row.get_i64("n"), []).append(row.get_i64("part"))
    singles = {row.get_i64("n") for row in await database.query("SELECT n FROM singles")}
    await database.close()
    assert {tuple(each) for each in parts.values()} == {(1, 2)}, "a transaction is half there"
    assert set(written.numbers("PAIR")) <= set(parts), "an acknowledged transaction is lost"
    assert set(written.numbers("ONE")) <= singles, "an acknowledged statement is lost"


async def test_a_module_killed_again_and_again_loses_nothing_and_leaves_no_transaction(
    config: DatabaseConfig, tmp_path: Path
) -> None:
    await prepare(config)
    written, chance = Written(tmp_path / "written"), random.Random(config.db_type)
    host = DatabaseHost({"writer": {"main": scope_of(config, trusted=False, transactions=3)}}, environ(config))
    module = {
        "kind": "module",
        "command": [sys.executable, str(WRITER), config.db_type, str(tmp_path / "written")],
        "restart": {"limit": 20, "first_delay": 0.01, "longest_delay": 0.02},
    }
    async with running({"writer": module}, Switchboard({"Database": host})):
        for kills in range(1, 4):
            await written.until(partial(written.was_started, kills))
            await written.until_more(chance.randrange(2, 12))
            os.kill(written.numbers("PID")[-1], signal.SIGKILL)
        await written.until(partial(written.was_started, 4))
        await written.until_more(1)
    assert host.open_transactions("writer") == 0
    await check(config, written)


async def test_an_orchestrator_killed_in_the_middle_loses_nothing_either(
    config: DatabaseConfig, tmp_path: Path
) -> None:
    await prepare(config)
    written = Written(tmp_path / "written")
    (tmp_path / "stack.toml").write_text(stack_text(config, tmp_path))
    process = await asyncio.create_subprocess_exec(
        SDK, "runtime", "up", str(tmp_path / "stack.toml"),
        env=clean_environment(**environ(config)), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await written.until_more(random.Random(config.db_type).randrange(5, 20))
        (module,) = written.numbers("PID")
    finally:
        process.kill()
        await process.wait()
    await written.until(lambda: not is_alive(module))
    await check(config, written)


def environ(config: DatabaseConfig) -> dict[str, str]:
    return {"PASSWORD": config.password or ""}


def stack_text(config: DatabaseConfig, folder: Path) -> str:
    members = {"host": config.host, "port": config.port, "username": config.username}
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in members.items() if value is not None]
    return "\n".join(
        [
            "[modules.writer]",
            'kind = "module"',
            f'command = ["{sys.executable}", "{WRITER}", "{config.db_type}", "{folder / "written"}"]',
            "[modules.writer.databases.main]",
            f'db_type = "{config.db_type}"',
            f'database = "{config.database}"',
            'password_environment = "PASSWORD"',
            *lines,
        ]
    )
