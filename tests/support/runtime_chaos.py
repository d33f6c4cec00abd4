"""A stack whose modules, orchestrator, database and cache are killed at random while it works.

One module is lent its database and its cache; the other, the independent one, reaches the same servers itself.
"""

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
from aiohttp import ClientError, ClientSession, ClientTimeout

from sdk.module_runtime.data.cache import CacheConfig
from sdk.module_runtime.data.database.urls import config_of
from support.commands import SDK, clean_environment
from support.own_servers import own_servers
from support.processes import is_alive
from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from support.own_servers import OwnServer

PATIENCE = 60.0
TESTS = ROOT / "tests" / "module_runtime"
VICTIMS = ("module", "independent", "orchestrator", "database", "cache")
SERVERS = (("mariadb", "redis"), ("postgresql", "memcached"))
SESSIONS = {
    "mariadb": "SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'sdk'",
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type ~ '^client' AND pid <> pg_backend_pid()",
}


class Work:
    """What one module has been told is done, as it stands in its file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def numbers(self, word: str) -> list[int]:
        return [int(line.split()[1]) for line in self._lines() if line.startswith(word)]

    def count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self._lines())

    def _lines(self) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Chaos:
    """``strike`` kills one and returns when all works again. ``check`` looks at what was acknowledged."""

    def __init__(self, folder: Path, database: OwnServer, cache: OwnServer, seed: int) -> None:
        self.folder, self.database, self.cache = folder, database, cache
        self.chance = random.Random(seed)
        self.strikes: Counter[str] = Counter()
        self.port = _free_port()
        self.lent, self.independent = Work(folder / "lent"), Work(folder / "independent")
        self._log = folder / "orchestrator.log"
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
        database, cache = config_of(self.database.url), self._cache_config()
        with self._log.open("ab") as log:
            self._orchestrator = await asyncio.create_subprocess_exec(
                SDK, "runtime", "up", str(self.folder / "stack.toml"),
                env=clean_environment(
                    PASSWORD=database.password or "",
                    LENT=database.model_copy(update={"database": "main", "password": None}).model_dump_json(),
                    DATABASE=database.model_dump_json(),
                    CACHE=cache.model_dump_json(),
                    TMPDIR=str(self._temporary),
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

    async def until_works(self, pairs: int = 1) -> None:
        """Until both modules have done so many more transactions, and used their caches."""
        had = [(work, work.count("PAIR") + pairs, work.count("CACHED") + 1) for work in self._works()]
        await self._until(
            lambda: _done(all(work.count("PAIR") >= most and work.count("CACHED") >= one for work, most, one in had)),
            "all works again",
        )

    # --- one blow ---

    async def strike(self, victim: str) -> None:
        self.strikes[victim] += 1
        await asyncio.sleep(self.chance.random() / 10)  # anywhere in its work
        if victim in ("module", "independent"):
            work = self.lent if victim == "module" else self.independent
            os.kill(work.numbers("PID")[-1], signal.SIGKILL)
        elif victim == "orchestrator":
            assert self._orchestrator is not None
            modules = [work.numbers("PID")[-1] for work in self._works()]
            self._orchestrator.kill()
            await self._orchestrator.wait()
            await self._until(lambda: _done(not any(map(is_alive, modules))), "the modules are dead too")
            await self.start()
        else:
            await self._strike_server(self.database if victim == "database" else self.cache)
        assert victim == "orchestrator" or await self._serves(), f"the bystander suffers from the death of the {victim}"
        await self.until_works(self.chance.randrange(2, 8))

    async def _strike_server(self, server: OwnServer) -> None:
        failed = [(work, work.count("FAILED")) for work in self._works()]
        await asyncio.to_thread(server.kill)
        await self._until(
            lambda: _done(all(work.count("FAILED") > before for work, before in failed)), "both modules are told of it"
        )
        assert await self._serves(), f"the bystander does not serve while {server.name} is away"
        server.start()

    # --- what must hold ---

    async def check(self) -> Counter[str]:
        """What was acknowledged, and what was unknown. ``AssertionError`` if something is lost or half there."""
        with self._engine.connect() as connection:
            parts: dict[int, list[int]] = {}
            for number, part in connection.exec_driver_sql("SELECT n, part FROM pairs ORDER BY n, part"):
                parts.setdefault(number, []).append(part)
            singles = {number for (number,) in connection.exec_driver_sql("SELECT n FROM singles")}
        assert {tuple(each) for each in parts.values()} <= {(1, 2)}, "a transaction is half there"
        found: Counter[str] = Counter()
        for work in self._works():
            pairs, ones, unknown = (work.numbers(word) for word in ("PAIR", "ONE", "UNKNOWN"))
            assert set(pairs) <= set(parts), "an acknowledged transaction is lost"
            assert set(ones) <= singles, "an acknowledged statement is lost"
            assert not set(pairs) & set(unknown)
            assert work.count("WRONG") == 0, "the cache gave a value that was not set last"
            whole = sum(number in parts for number in unknown)
            found.update(transactions=len(pairs), statements=len(ones), whole=whole, absent=len(unknown) - whole)
        await self._until(self._has_no_session, "no session at the database is left over")
        return found

    async def _has_no_session(self) -> bool:
        with self._engine.connect() as connection:
            return bool(connection.exec_driver_sql(SESSIONS[self.database.name]).scalar_one() == 0)

    def check_nothing_is_left(self) -> None:
        left = [pid for pid in _processes() if str(self.folder).encode() in _command_of(pid)]
        assert not left, "processes are left over"
        left_files = [each.name for each in self._temporary.iterdir()]
        assert not left_files, "sockets or files are left over"
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", self.port))

    # --- looking ---

    def _works(self) -> tuple[Work, Work]:
        return self.lent, self.independent

    async def _serves(self) -> bool:
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=20)) as client,
                client.post(f"http://127.0.0.1:{self.port}/echo", data=b"x") as answer,
            ):
                return answer.status == 200
        except (ClientError, TimeoutError, OSError):
            return False

    async def _until(self, condition: Callable[[], Any], what: str) -> None:
        """Other processes bring it about, and nothing tells when."""
        end = time.monotonic() + PATIENCE
        while not await condition():
            assert not any(work.count("BROKEN") for work in self._works()), f"an error is untyped; see {self._log}"
            assert not self.database.has_failed, (self.database.folder / self.database.name / "log").read_text()[-2000:]
            assert time.monotonic() < end, f"it does not come about that {what}; see {self._log}"
            await asyncio.sleep(0.05)

    def _cache_config(self) -> CacheConfig:
        url = urlsplit(self.cache.url)
        assert url.hostname is not None
        return CacheConfig(
            cache_type="Redis" if self.cache.name == "redis" else "Memcached",
            hosts=[url.hostname],
            port=url.port,
            namespace="independent",
        )

    def _stack(self) -> str:
        database, cache = config_of(self.database.url), self._cache_config()
        restless = [sys.executable, str(TESTS / "chaos" / "programs" / "restless_module.py")]
        bystander = [sys.executable, str(TESTS / "interop" / "programs" / "served_module.py")]
        return f"""
[gateway]
listen = "127.0.0.1:{self.port}"

[modules.bystander]
kind = "module"
command = {json.dumps(bystander)}

[modules.independent]
kind = "module"
command = {json.dumps([*restless, str(self.independent.path)])}
pass_environment = ["DATABASE", "CACHE"]
restart = {{ limit = 1000, first_delay = 0.01, longest_delay = 0.05 }}

[modules.restless]
kind = "module"
command = {json.dumps([*restless, str(self.lent.path)])}
pass_environment = ["LENT"]
restart = {{ limit = 1000, first_delay = 0.01, longest_delay = 0.05 }}

[modules.restless.databases.main]
db_type = "{database.db_type}"
host = "{database.host}"
port = {database.port}
username = "{database.username}"
database = "{database.database}"
password_environment = "PASSWORD"
trusted = true

[modules.restless.caches.main]
cache_type = "{cache.cache_type}"
hosts = {json.dumps(cache.hosts)}
port = {cache.port}
"""


@asynccontextmanager
async def chaos(folder: Path, seed: int, database: str, cache: str) -> AsyncIterator[Chaos]:
    """``database`` and ``cache`` are names of ``scripts/services``."""
    with own_servers([database, cache]) as servers:
        run = Chaos(folder, servers[database], servers[cache], seed)
        run.prepare()
        try:
            await run.start()
            await run.until_works()
            yield run
        finally:
            run.kill()


async def _done(value: bool) -> bool:
    return value


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
