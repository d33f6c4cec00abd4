"""A database server of the test's own is killed during a commit, whose end is unknown, and then whole or absent."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import pytest

from sdk.module_runtime.data.database import (
    CommitUnknown,
    DatabaseConnectionError,
    PoolExhausted,
    TransactionError,
    open_database,
)
from sdk.module_runtime.data.database.urls import config_of
from support.host_link import hosted
from support.own_servers import own_servers
from support.tcp_gate import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sdk.module_runtime.data.database import DatabaseConfig
    from sdk.module_runtime.data.database.interface import ModuleDatabase
    from support.own_servers import OwnServer

PATIENCE = 60
Way = Literal["direct", "proxied"]


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    with own_servers([request.param]) as servers:
        yield servers[request.param]


@pytest.fixture
async def config(server: OwnServer) -> DatabaseConfig:
    """Once the server answers, which it need not yet after the test before."""
    found = config_of(server.url)
    async with asyncio.timeout(PATIENCE):
        while not await answers(found):  # noqa: ASYNC110 - another process starts
            await asyncio.sleep(0.05)
    return found


async def answers(config: DatabaseConfig) -> bool:
    try:
        await (await open_database(config)).close()
    except DatabaseConnectionError:
        return False
    return True


@asynccontextmanager
async def opened(config: DatabaseConfig, way: Way) -> AsyncIterator[ModuleDatabase]:
    if way == "direct":
        database: ModuleDatabase = await open_database(config)
        try:
            yield database
        finally:
            await database.close()
        return
    async with hosted(config) as (_, link):
        proxied = await open_database(config.model_copy(update={"database": "main"}), link)
        try:
            yield proxied
        finally:
            await proxied.close()


async def until_works(database: ModuleDatabase) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await database.ping()
                return
            except (DatabaseConnectionError, PoolExhausted):
                await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", ["direct", "proxied"])
@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
async def test_a_commit_during_which_the_server_dies_is_unknown_and_then_whole_or_absent(
    server: OwnServer, config: DatabaseConfig, way: Way, committed: bool
) -> None:
    """The server dies when the COMMIT is on its way to it (before), or when its answer is on its way back (after)."""
    table = f"t_{uuid.uuid4().hex[:12]}"
    host, port = config.host, config.port
    assert host is not None
    assert port is not None
    armed, was_sent = False, False

    async def pass_on(data: bytes, *, is_answer: bool) -> bool:
        nonlocal armed, was_sent
        was_sent = was_sent or (armed and b"COMMIT" in data)
        if not was_sent or is_answer != committed:
            return True
        armed = was_sent = False
        await asyncio.to_thread(server.kill)
        return False

    async with (
        Gate(host, port, pass_on).served() as gate,
        opened(config.model_copy(update={"port": gate.port}), way) as database,
    ):
        await database.execute(f"CREATE TABLE {table} (part INTEGER)")
        transaction = await database.begin_transaction()
        await transaction.execute(f"INSERT INTO {table} VALUES (1)")
        await transaction.execute(f"INSERT INTO {table} VALUES (2)")
        armed = True
        with pytest.raises(CommitUnknown):
            await transaction.commit()
        with pytest.raises(TransactionError, match="unknown end"):
            await transaction.commit()
        with pytest.raises(DatabaseConnectionError):
            await database.query(f"SELECT part FROM {table}")
        server.start()
        await until_works(database)
        rows = await database.query(f"SELECT part FROM {table} ORDER BY part")
        assert [row.get_i64("part") for row in rows] == ([1, 2] if committed else [])
        await database.execute(f"DROP TABLE {table}")


@pytest.mark.parametrize("way", ["direct", "proxied"])
async def test_what_was_done_before_the_connection_broke_is_no_error(config: DatabaseConfig, way: Way) -> None:
    """A connection is rolled back when it is given back, and may break then."""
    table = f"t_{uuid.uuid4().hex[:12]}"
    assert config.host is not None
    assert config.port is not None
    armed = False

    async def pass_on(data: bytes, *, is_answer: bool) -> bool:
        return not armed or b"ROLLBACK" not in data

    async with (
        Gate(config.host, config.port, pass_on).served() as gate,
        opened(config.model_copy(update={"port": gate.port}), way) as database,
    ):
        await database.execute(f"CREATE TABLE {table} (n INTEGER)")
        for number in range(config.pool.max_connections + 1):  # and no place in the pool is lost
            armed = True
            assert await database.execute(f"INSERT INTO {table} VALUES (?)", [number]) == 1
            transaction = await database.begin_transaction()
            await transaction.execute(f"INSERT INTO {table} VALUES (?)", [number])
            await transaction.commit()
            armed = False
        assert len(await database.query(f"SELECT n FROM {table}")) == 2 * (config.pool.max_connections + 1)
        await database.execute(f"DROP TABLE {table}")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", ["direct", "proxied"])
async def test_everybody_is_told_and_nobody_hangs_when_the_server_dies(
    server: OwnServer, config: DatabaseConfig, way: Way
) -> None:
    table = f"t_{uuid.uuid4().hex[:12]}"
    acknowledged: list[int] = []
    async with opened(config, way) as database:
        await database.execute(f"CREATE TABLE {table} (n INTEGER PRIMARY KEY)")
        stopping, told = asyncio.Event(), asyncio.Semaphore(0)

        async def work(first: int) -> None:
            number = first
            while not stopping.is_set():
                try:
                    await database.execute(f"INSERT INTO {table} VALUES (?)", [number])
                    acknowledged.append(number)
                except (DatabaseConnectionError, PoolExhausted, CommitUnknown):
                    told.release()
                    await asyncio.sleep(0.05)
                number += 1

        workers = [asyncio.create_task(work(10_000_000 * each)) for each in range(16)]
        async with asyncio.timeout(PATIENCE):
            while len(acknowledged) < 50:  # noqa: ASYNC110 - they count it themselves
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.kill)
            for _ in range(16):
                await told.acquire()
            server.start()
            await until_works(database)
            stopping.set()
            await asyncio.gather(*workers)
        found = {row.get_i64("n") for row in await database.query(f"SELECT n FROM {table}")}
        assert set(acknowledged) <= found
        await database.execute(f"DROP TABLE {table}")
