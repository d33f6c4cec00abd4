"""The service layer: durable units a second beside the usual drivers, row handling, HTTP round trips, start-up."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from aiohttp import web

from sdk.service import failpoints
from sdk.service.database import Database, Prepared
from sdk.service.http_app import Limits, create_app, running
from sdk.service.http_client import HttpClient
from support import things

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sdk.service.database import Unit

SECONDS = 2.0
CALLERS = 32
ALL = Prepared(sa.select(things.THINGS).limit(100))


def small(unit: Unit, name: str) -> int:
    """One read, one update, one insert."""
    unit.first(things.FIND, name=name)
    unit.run(things.MOVE, which=name, by=1)
    return things.add(unit, name)


def large(unit: Unit, name: str) -> int:
    """About what an action costs: a dozen statements over twenty rows."""
    for _ in range(5):
        unit.first(things.FIND, name=name)
    things.add(unit, name)
    keys = unit.insert_many(things.ADD, [{"name": f"{name}-{i}", "raw": b"x" * 100} for i in range(10)])
    unit.insert_many(things.ADD_PART, [{"thingId": key} for key in keys])
    for _ in range(5):
        unit.run(things.MOVE, which=name, by=1)
    return keys[0]


async def rate(work: Callable[[str], Awaitable[object]], callers: int) -> float:
    """Calls a second of ``callers`` at once, each waiting for its own."""
    prefix = uuid.uuid4().hex
    done = 0
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        nonlocal done
        count = 0
        while time.perf_counter() < end:
            await work(f"{prefix}-{number}-{count}")
            count += 1
        done += count

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return done / (time.perf_counter() - started)


async def run(report: Callable[..., None]) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("SDK_BENCH_DIR")) as folder:
        await embedded(report, Path(folder))
    for name in ("postgresql", "mariadb"):
        await server(report, name)
    await http(report)
    constants(report)
    start_up(report)


async def embedded(report: Callable[..., None], folder: Path) -> None:
    async with await Database.open(f"sqlite:///{folder}/ours.db") as database:
        await database.migrate(things.create)
        limits = {(small, 1): 1000.0, (small, CALLERS): 5000.0}
        for unit in (small, large):
            for callers in (1, CALLERS):
                ours = await rate(lambda name, unit=unit: database.write(unit, name), callers)  # type: ignore[misc]
                peers = await usual(folder, callers) if unit is small else {}
                title = f"SQLite, durable {unit.__name__} units, {callers} caller{'s' if callers > 1 else ''}"
                report(title, ours, "units/s", peers, limits.get((unit, callers)))
        report(
            "SQLite, read units of one row, 1 caller",
            await rate(lambda name: database.read(lambda unit: unit.first(things.FIND, name=name)), 1),
            "units/s",
            limit=2000,
        )
        await rows(report, database)


async def rows(report: Callable[..., None], database: Database) -> None:
    def ours(unit: Unit) -> float:
        return loop(lambda: unit.rows(ALL))

    def core(unit: Unit) -> float:
        statement = sa.select(things.THINGS).limit(100)
        return loop(lambda: unit.connection.execute(statement).all())

    report(
        "SELECT of 100 rows of 7 typed columns",
        await database.read(ours),
        "statements/s",
        {"SQLAlchemy Core": await database.read(core)},
    )

    def ours_one(unit: Unit) -> float:
        return loop(lambda: unit.first(things.FIND, name="nobody"))

    def core_one(unit: Unit) -> float:
        statement = sa.select(things.THINGS).where(things.THINGS.c.name == sa.bindparam("name"))
        return loop(lambda: unit.connection.execute(statement, {"name": "nobody"}).first())

    report(
        "SELECT by unique key inside a unit",
        await database.read(ours_one),
        "statements/s",
        {"SQLAlchemy Core": await database.read(core_one)},
    )


def loop(action: Callable[[], object]) -> float:
    count = 0
    started = time.perf_counter()
    while time.perf_counter() < started + SECONDS / 2:
        for _ in range(20):
            action()
        count += 20
    return count / (time.perf_counter() - started)


async def usual(folder: Path, callers: int) -> dict[str, float]:
    """The same small unit through SQLAlchemy's asynchronous engine and its usual driver."""
    try:
        from sqlalchemy.ext.asyncio import create_async_engine

        url = f"sqlite+aiosqlite:///{folder}/usual-{uuid.uuid4().hex}.db"
        engine = create_async_engine(url, connect_args={"timeout": 60})
    except ImportError as missing:
        print(f"  without aiosqlite: {missing}")
        return {}

    @sa.event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    table = things.THINGS
    find = sa.select(table).where(table.c.name == sa.bindparam("which"))
    move = sa.update(table).where(table.c.name == sa.bindparam("which")).values(satoshis=table.c.satoshis + 1)
    add = sa.insert(table)

    async def work(name: str) -> None:
        async with engine.begin() as connection:
            (await connection.execute(find, {"which": name})).first()
            await connection.execute(move, {"which": name})
            await connection.execute(add, {"name": name})

    async with engine.begin() as connection:
        await connection.run_sync(things.METADATA.create_all)
    found = await rate(work, callers)
    await engine.dispose()
    return {"aiosqlite": found}


async def server(report: Callable[..., None], name: str) -> None:
    from support.requirements import SERVICES

    written = SERVICES / f"{name}.url"
    url = os.environ.get(f"SDK_{name.upper()}_URL") or (written.read_text().strip() if written.exists() else "")
    if not url:
        print(f"  without {name}: run ./scripts/services start {name}")
        return
    async with scratch(url) as database:
        for callers in (1, CALLERS):
            title = f"{name}, small units, serializable, {callers} caller{'s' if callers > 1 else ''}"
            report(title, await rate(lambda key: database.write(small, key), callers), "units/s")


@asynccontextmanager
async def scratch(url: str) -> AsyncIterator[Database]:
    """The tables in a schema of their own, dropped afterwards."""
    schema = f"bench_{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    kind = "SCHEMA" if url.startswith("postgresql") else "DATABASE"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE {kind} {schema}")
    try:
        async with await Database.open(url, schema=schema) as database:
            await database.migrate(things.create)
            yield database
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP {kind} {schema}{' CASCADE' if kind == 'SCHEMA' else ''}")
        engine.dispose()


async def http(report: Callable[..., None]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    app = create_app("bench", [web.post("/x", answer)], limits=Limits(rate=0))
    async with running(app) as service, HttpClient(service.url, service="bench") as client:
        for callers in (1, 16):
            found = await rate(lambda name: client.post_json("/x", {"name": name}), callers)
            report(f"HTTP round trip, client and server in one process, {callers} in flight", found, "requests/s")


def constants(report: Callable[..., None]) -> None:
    count = 1_000_000
    started = time.perf_counter()
    for _ in range(count):
        failpoints.reach("bench")
    report("a fail point that is off", (time.perf_counter() - started) / count * 1e9, "ns", limit=1000)


def start_up(report: Callable[..., None]) -> None:
    for title, program, limit in (
        ("sdk --help", "import sys; sys.argv = ['sdk', '--help']; from sdk_launcher import main; main()", 1000.0),
        ("import sdk.service.database", "import sdk.service.database", 1500.0),
    ):
        best = min(elapsed(program) for _ in range(3))
        report(title, best * 1000, "ms", limit=limit)


def elapsed(program: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
