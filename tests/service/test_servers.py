"""PostgreSQL and MariaDB: races are run again, breaks are told apart, everything is bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from sdk.core.errors import ConfigurationError, StorageBusy, StorageUnavailable
from sdk.service import failpoints
from sdk.service.database import Database, Prepared
from sdk.service.errors import CommitUnknown
from support import things
from support.tcp_gate import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.service.database import Unit

SATOSHIS = Prepared(sa.select(things.THINGS.c.satoshis).where(things.THINGS.c.name == sa.bindparam("name")))
SET = Prepared(
    sa.update(things.THINGS).where(things.THINGS.c.name == sa.bindparam("which")).values(satoshis=sa.bindparam("to"))
)
TOTAL = Prepared(sa.select(sa.func.sum(things.THINGS.c.satoshis)))
CLAIM = Prepared(
    sa.select(things.THINGS.c.name)
    .where(things.THINGS.c.spendable.is_(True))
    .order_by(things.THINGS.c["thingId"])
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def opened(server: tuple[str, str]) -> AsyncIterator[Database]:
    url, schema = server
    async with await Database.open(url, schema=schema, timeout=10) as database:
        await database.migrate(things.create)
        yield database


def connection_id(unit: Unit) -> int:
    question = "SELECT pg_backend_pid()" if unit.dialect == "postgresql" else "SELECT connection_id()"
    return int(unit.connection.exec_driver_sql(question).scalar_one())


class Axe:
    """Cuts connections, from one of its own."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        self._postgresql = url.startswith("postgresql")

    def cut(self, number: int) -> None:
        order = f"SELECT pg_terminate_backend({number}, 5000)" if self._postgresql else f"KILL {number}"
        with self._engine.connect() as connection:
            connection.exec_driver_sql(order)


async def test_concurrent_increments_are_never_lost(database: Database) -> None:
    """Read, decide in Python, write: as safe on every dialect as with one writer."""

    def increment(unit: Unit) -> None:
        unit.run(SET, which="a", to=unit.scalar(SATOSHIS, name="a") + 1)

    await database.write(things.add, "a", 0)
    await asyncio.gather(*(database.write(increment) for _ in range(24)))
    assert await database.read(lambda unit: unit.scalar(SATOSHIS, name="a")) == 24


async def test_write_skew_cannot_happen(database: Database) -> None:
    """Each unit checks the total before it takes from its own row."""

    def withdraw(unit: Unit, name: str) -> bool:
        if unit.scalar(TOTAL) < 10:
            return False
        unit.run(SET, which=name, to=0)
        return True

    for _ in range(4):
        await database.write(lambda unit: unit.connection.exec_driver_sql("DELETE FROM things") and None)
        await database.write(lambda unit: unit.insert_many(things.ADD, [{"name": n, "satoshis": 5} for n in "ab"]))
        taken = await asyncio.gather(database.write(withdraw, "a"), database.write(withdraw, "b"))
        assert sorted(taken) == [False, True]


async def test_r25_a_compare_and_set_has_one_winner(database: Database) -> None:
    await database.write(things.add, "coin")
    won = await asyncio.gather(
        *(database.write(lambda unit: unit.run(things.SPEND, which="coin", to=False)) for _ in range(12))
    )
    assert sorted(won) == [0] * 11 + [1]


async def test_a_loss_that_the_unit_itself_declares_is_not_repeated(database: Database) -> None:
    runs = 0

    def declare(unit: Unit) -> None:
        nonlocal runs
        runs += 1
        raise StorageBusy("already spent")

    with pytest.raises(StorageBusy, match="already spent"):
        await database.write(declare)
    assert runs == 1


async def test_a_connection_cut_before_commit_is_made_again_and_the_unit_with_it(
    opened: Database, server: tuple[str, str]
) -> None:
    axe = Axe(server[0])
    runs = 0

    def unlucky(unit: Unit) -> int:
        nonlocal runs
        runs += 1
        key = things.add(unit, "a")
        if runs == 1:
            axe.cut(connection_id(unit))
            unit.scalar(things.COUNT)
        return key

    await opened.write(unlucky)
    assert runs == 2
    assert await opened.read(things.names) == ["a"]


async def test_a_connection_cut_during_commit_leaves_the_caller_to_look(
    opened: Database, server: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    axe = Axe(server[0])
    found: list[int] = []

    def write(unit: Unit) -> None:
        things.add(unit, "a")
        found.append(connection_id(unit))

    monkeypatch.setattr(failpoints, "active", True)
    monkeypatch.setattr(
        failpoints, "reach", lambda name: axe.cut(found[-1]) if name.startswith("commit.before") else None
    )
    with pytest.raises(CommitUnknown, match="look for its effects"):
        await opened.write(write)
    assert len(found) == 1
    monkeypatch.undo()
    await opened.write(things.add, "b")


async def test_idle_connections_that_the_server_closed_are_replaced(opened: Database, server: tuple[str, str]) -> None:
    axe = Axe(server[0])
    for number in {await opened.write(connection_id), await opened.read(connection_id)}:
        axe.cut(number)
    await opened.write(things.add, "a")
    assert await opened.read(things.names) == ["a"]


async def test_closing_does_not_wait_for_a_server_that_hangs(
    server: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was stopped, or a network that drops everything; the units it has come to an end with it."""
    monkeypatch.setattr("sdk.service.database.server.CLOSING", 0.3)
    url, schema = server
    hangs, asked = False, asyncio.Event()

    async def pass_on(data: bytes, *, is_answer: bool) -> bool:
        if hangs:
            asked.set()
            await asyncio.Event().wait()
        return True

    address = sa.make_url(url)
    gate = Gate(str(address.host), int(address.port or 0), pass_on)
    async with gate.served():
        through = address.set(host="127.0.0.1", port=gate.port).render_as_string(hide_password=False)
        database = await Database.open(through, schema=schema, readers=1, timeout=10)
        await database.migrate(things.create)
        await database.read(things.names)
        hangs = True
        reads = [asyncio.create_task(database.read(things.names)) for _ in range(3)]
        await asked.wait()
        async with asyncio.timeout(8):
            await database.close()
        gate.close()
        for each in await asyncio.gather(*reads, return_exceptions=True):
            assert isinstance(each, StorageUnavailable), each


async def test_waiting_for_a_lock_is_bounded(server: tuple[str, str]) -> None:
    url, schema = server
    held, freed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(unit: Unit) -> None:
        unit.run(SET, which="a", to=1)
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(freed.wait(), loop).result(30)

    async with await Database.open(url, schema=schema, timeout=1) as database:
        await database.migrate(things.create)
        await database.write(things.add, "a")
        holding = asyncio.create_task(database.write(hold))
        await held.wait()
        with pytest.raises(StorageBusy, match="try again"):
            await database.write(lambda unit: unit.run(SET, which="a", to=2))
        freed.set()
        await holding


async def test_connections_are_bounded_whatever_the_number_of_callers(server: tuple[str, str]) -> None:
    url, schema = server
    async with await Database.open(url, schema=schema, writers=3, readers=2) as database:
        await database.migrate(things.create)
        writers = await asyncio.gather(*(database.write(connection_id) for _ in range(40)))
        readers = await asyncio.gather(*(database.read(connection_id) for _ in range(40)))
    assert len(set(writers)) <= 3
    assert len(set(readers)) <= 2


async def test_claims_skip_what_others_hold(opened: Database) -> None:
    await opened.write(lambda unit: unit.insert_many(things.ADD, [{"name": f"n{i:02}"} for i in range(20)]))
    barrier = asyncio.Barrier(2)
    loop = asyncio.get_running_loop()

    def claim(unit: Unit) -> list[str]:
        mine = [row.name for row in unit.rows(CLAIM, most=5)]
        asyncio.run_coroutine_threadsafe(barrier.wait(), loop).result(30)
        return mine

    first, second = await asyncio.gather(opened.write(claim), opened.write(claim))
    assert not set(first) & set(second)
    assert first
    assert second


async def test_schemas_are_apart(postgresql: tuple[str, str]) -> None:
    url, schema = postgresql
    async with (
        await Database.open(url, schema=schema) as one,
        await Database.open(url, schema="Test Other-1") as other,
    ):
        for database in (one, other):
            await database.migrate(things.create)
        await one.write(things.add, "a")
        assert await other.read(things.names) == []
        await other.migrate(lambda unit: unit.connection.exec_driver_sql('DROP SCHEMA "Test Other-1" CASCADE') and None)


@pytest.mark.parametrize("address", ["sqlite", "postgresql", "mariadb"], indirect=True)
async def test_a_read_is_one_snapshot(database: Database) -> None:
    """What is committed while a read unit runs is not seen by it."""
    loop = asyncio.get_running_loop()

    def twice(unit: Unit) -> tuple[int, int]:
        before = things.count(unit)
        asyncio.run_coroutine_threadsafe(database.write(things.add, "between"), loop).result(30)
        return before, things.count(unit)

    assert await database.read(twice) == (0, 0)
    assert await database.read(things.count) == 1


def altered(url: str, **parts: Any) -> str:
    return sa.make_url(url).set(**parts).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"password": "wrong"}, "refuses this user"),
        ({"database": "nowhere"}, "does not exist on that server; create it"),
        ({"port": 1}, "cannot be reached"),
    ],
)
async def test_what_cannot_be_opened_is_said_in_one_line(
    server: tuple[str, str], parts: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(StorageUnavailable, match=complaint) as raised:
        await Database.open(altered(server[0], **parts))
    assert "\n" not in str(raised.value)
    assert "wrong" not in str(raised.value)


async def test_isolation_is_checked(server: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="read committed"):
        await Database.open(server[0], isolation="chaos")


async def test_opened_read_only(server: tuple[str, str]) -> None:
    url, schema = server
    async with await Database.open(url, schema=schema) as database:
        await database.migrate(things.create)
    async with await Database.open(url, schema=schema, read_only=True) as database:
        assert await database.read(things.names) == []
        with pytest.raises(StorageUnavailable, match="read-only"):
            await database.write(things.add, "a")
