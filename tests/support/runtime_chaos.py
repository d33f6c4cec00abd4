"""A stack whose module, orchestrator, database and cache are killed at random while it works."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from aiohttp import ClientError, ClientSession

from support.commands import SDK, clean_environment
from support.own_servers import own_servers
from support.processes import is_alive
from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from support.own_servers import OwnServer

PATIENCE = 60.0
TESTS = ROOT / "tests" / "module_runtime"
VICTIMS = ("module", "orchestrator", "database", "cache")


class Chaos:
    """``strike`` kills one and returns when all works again. ``check`` looks at what was acknowledged."""

    def __init__(self, folder: Path, database: OwnServer, cache: OwnServer, seed: int) -> None:
        self.folder, self.database, self.cache = folder, database, cache
        self.chance = random.Random(seed)
        self.strikes: Counter[str] = Counter()
        self.port = _free_port()
        self._log = folder / "orchestrator.log"
        self._written = folder / "written"
        self._orchestrator: asyncio.subprocess.Process | None = None
        self._temporary = Path(tempfile.mkdtemp(prefix="chaos-"))  # short, for sockets are made in it
        self._engine = sa.create_engine(database.url, poolclass=sa.NullPool)

    # --- the stack ---

    def prepare(self) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE pairs (n BIGINT, part INTEGER, PRIMARY KEY (n, part))")
            connection.exec_driver_sql("CREATE TABLE singles (n BIGINT PRIMARY KEY)")
        (self.folder / "stack.toml").write_text(self._stack())

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._orchestrator = await asyncio.create_subprocess_exec(
                SDK, "runtime", "up", str(self.folder / "stack.toml"),
                env=clean_environment(
                    PASSWORD=sa.make_url(self.database.url).password or "", TMPDIR=str(self._temporary)
                ),
                stderr=log,
            )  # fmt: skip
        await self._until(self._serves, "the bystander serves")

    async def stop(self) -> int:
        assert self._orchestrator is not None
        self._orchestrator.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self._orchestrator.wait()

    def kill(self) -> None:
        if self._orchestrator is not None and self._orchestrator.returncode is None:
            self._orchestrator.kill()
        shutil.rmtree(self._temporary, ignore_errors=True)

    # --- one blow ---

    async def strike(self, victim: str) -> None:
        self.strikes[victim] += 1
        await asyncio.sleep(self.chance.random() / 10)  # anywhere in its work
        if victim == "module":
            os.kill(self._numbers("PID")[-1], signal.SIGKILL)
        elif victim == "orchestrator":
            assert self._orchestrator is not None
            modules = self._numbers("PID")[-1]
            self._orchestrator.kill()
            await self._orchestrator.wait()
            await self._until(lambda: _done(not is_alive(modules)), "the module is dead too")
            await self.start()
        else:
            server = self.database if victim == "database" else self.cache
            await asyncio.to_thread(server.kill)
            failed = self._count("FAILED")
            await self._until(lambda: _done(self._count("FAILED") > failed), "the module is told of it")
            assert await self._serves(), f"the bystander does not serve while the {victim} is away"
            server.start()
        assert victim == "orchestrator" or await self._serves(), f"the bystander suffers from the death of the {victim}"
        pairs, cached = self._count("PAIR"), self._count("CACHED")
        more = self.chance.randrange(2, 8)
        await self._until(
            lambda: _done(self._count("PAIR") >= pairs + more and self._count("CACHED") > cached), "all works again"
        )

    # --- what must hold ---

    def check(self) -> tuple[int, int]:
        """How many transactions and statements were acknowledged. ``AssertionError`` if one is lost or half there."""
        with self._engine.connect() as connection:
            parts: dict[int, list[int]] = {}
            for number, part in connection.exec_driver_sql("SELECT n, part FROM pairs ORDER BY n, part"):
                parts.setdefault(number, []).append(part)
            singles = {number for (number,) in connection.exec_driver_sql("SELECT n FROM singles")}
            (sessions,) = connection.exec_driver_sql(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'sdk'"
            ).one()
        pairs, ones = self._numbers("PAIR"), self._numbers("ONE")
        assert {tuple(each) for each in parts.values()} <= {(1, 2)}, "a transaction is half there"
        assert set(pairs) <= set(parts), "an acknowledged transaction is lost"
        assert set(ones) <= singles, "an acknowledged statement is lost"
        assert self._count("WRONG") == 0, "the cache gave a value that was not set last"
        assert sessions == 0, "sessions at the database are left over"
        return len(pairs), len(ones)

    def check_nothing_is_left(self) -> None:
        left = [pid for pid in _processes() if str(self.folder).encode() in _command_of(pid)]
        assert not [pid for pid in left if pid not in (self.database.pid, self.cache.pid)], "processes are left over"
        left_files = [each.name for each in self._temporary.iterdir()]
        assert not left_files, "sockets or files are left over"
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", self.port))

    # --- looking ---

    async def _serves(self) -> bool:
        try:
            async with (
                ClientSession() as client,
                client.post(f"http://127.0.0.1:{self.port}/echo", data=b"x", timeout=_soon()) as answer,
            ):
                return answer.status == 200
        except (ClientError, TimeoutError, OSError):
            return False

    def _lines(self) -> list[str]:
        text = self._written.read_text() if self._written.exists() else ""
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def _numbers(self, word: str) -> list[int]:
        return [int(line.split()[1]) for line in self._lines() if line.startswith(word)]

    def _count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self._lines())

    async def _until(self, condition: Callable[[], Any], what: str) -> None:
        """Other processes bring it about, and nothing tells when."""
        end = time.monotonic() + PATIENCE
        while not await condition():
            assert time.monotonic() < end, f"it does not come about that {what}; see {self._log}"
            await asyncio.sleep(0.02)

    def _stack(self) -> str:
        url, cache = sa.make_url(self.database.url), urlsplit(self.cache.url)
        restless = [sys.executable, str(TESTS / "chaos" / "programs" / "restless_module.py"), str(self._written)]
        bystander = [sys.executable, str(TESTS / "interop" / "programs" / "served_module.py")]
        return f"""
[gateway]
listen = "127.0.0.1:{self.port}"

[modules.bystander]
kind = "module"
command = {json.dumps(bystander)}

[modules.restless]
kind = "module"
command = {json.dumps(restless)}
restart = {{ limit = 1000, first_delay = 0.01, longest_delay = 0.05 }}

[modules.restless.databases.main]
db_type = "mysql"
host = "{url.host}"
port = {url.port}
username = "{url.username}"
database = "{url.database}"
password_environment = "PASSWORD"
trusted = true

[modules.restless.caches.main]
cache_type = "Redis"
hosts = ["{cache.hostname}"]
port = {cache.port}
"""


@asynccontextmanager
async def chaos(folder: Path, seed: int) -> AsyncIterator[Chaos]:
    with own_servers(["mariadb", "redis"], folder / "servers") as servers:
        run = Chaos(folder, servers["mariadb"], servers["redis"], seed)
        run.prepare()
        try:
            await run.start()
            await run._until(lambda: _done(run._count("PAIR") > 0 and run._count("CACHED") > 0), "it works at all")
            yield run
        finally:
            run.kill()


async def _done(value: bool) -> bool:
    return value


def _soon() -> Any:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _processes() -> Sequence[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
