"""A lent database under SQLAlchemy and under ``sdk.service.database``, with the driver's values and errors."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from sdk.core.errors import ConfigurationError, StorageError, StorageUnavailable
from sdk.module_runtime.data.database import DatabaseConfigurationError, QueryError
from sdk.module_runtime.data.sessions.values import JsonText, pack, unpack
from sdk.module_runtime.errors import LinkClosed, Unsupported
from sdk.module_runtime.orchestrator.hosts.sessions import LentSession
from sdk.module_runtime.process_link import process_link
from sdk.service.database import Database
from sdk.service.errors import CommitUnknown, ConstraintViolated
from support import things
from support.databases import DIALECTS
from support.header_server import until
from support.lent_databases import lent_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sdk.module_runtime.data.database import DatabaseConfig
    from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
    from sdk.service.database import Unit
    from support.host_link import HostLink

pytestmark = pytest.mark.timeout(120)


class Lent:
    def __init__(self, url: str, config: DatabaseConfig, host: DatabaseHost, link: HostLink) -> None:
        self.url, self.config, self.host, self.link = url, config, host, link

    def lose_answers_to(self, beginning: str, times: int = 1) -> list[str]:
        """What is done, and never answered: statements that begin so. The list says which."""
        lost: list[str] = []
        operate = self.link.operate

        async def deaf(connection: str, service: Any, operation: str, params: Any, **more: Any) -> Any:
            result = await operate(connection, service, operation, params, **more)
            sql = unpack(params["packed"])[0] if "packed" in params else ""
            if sql.startswith(beginning) and len(lost) < times:
                lost.append(sql)
                raise LinkClosed("the answer was lost")
            return result

        self.link.operate = deaf  # type: ignore[method-assign,assignment]
        return lost


@pytest.fixture(params=DIALECTS)
def lent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lent]:
    with lent_database(request.param, tmp_path, rows=200, bytes=100_000) as found:
        yield Lent(*found)


@pytest.fixture
def engine(lent: Lent) -> Iterator[sa.Engine]:
    made = sa.create_engine(lent.url)
    yield made
    made.dispose()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    lambda values: st.lists(values, max_size=5),
)


@given(VALUES)
def test_packed_values_are_exact(value: Any) -> None:
    found = unpack(pack(value))
    assert found == value
    assert type(found) is type(value)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_what_nobody_packed_is_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(QueryError):
        unpack(text)


def test_json_stays_text_until_somebody_wants_it() -> None:
    packed = pack([JsonText('{"a":1}'), JsonText("[]", is_binary=True)])
    assert unpack(packed) == [{"a": 1}, []]
    assert unpack(packed, lambda value: value) == [JsonText('{"a":1}'), JsonText("[]", is_binary=True)]
    with pytest.raises(QueryError, match="type object"):
        pack([object()])


def test_sqlalchemy_reads_what_it_wrote_on_every_database(engine: sa.Engine) -> None:
    table = sa.Table(
        "kinds",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amount", sa.Numeric(30, 10)),
        sa.Column("raw", sa.LargeBinary(200)),
        sa.Column("moment", sa.DateTime),
        sa.Column("day", sa.Date),
        sa.Column("hour", sa.Time),
        sa.Column("span", sa.Interval),
        sa.Column("ratio", sa.Double),
        sa.Column("flag", sa.Boolean),
        sa.Column("document", sa.JSON),
        sa.Column("key", sa.Uuid),
        sa.Column("text", sa.Text),
    )
    row = {
        "id": 2**63 - 1,
        "amount": Decimal("12345678901234567890.0123456789"),
        "raw": bytes(range(100)),
        "moment": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - as the column has it
        "day": date(2026, 2, 3),
        "hour": time(4, 5, 6),
        "span": timedelta(days=2, seconds=5),
        "ratio": 0.1 + 0.2,
        "flag": True,
        "document": {"a": [1, None, "é"]},
        "key": UUID(int=7),
        "text": "100 % of 'é' \N{PILE OF POO}",
    }
    if engine.dialect.name == "sqlite":
        row["amount"] = Decimal("0.5")  # which has no decimals of its own
    empty = {"id": -(2**63), **dict.fromkeys(list(row)[1:])}
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [row, empty])
    with engine.connect() as connection:
        found = connection.execute(table.select().order_by(table.c.id.desc())).mappings().all()
        assert [dict(each) for each in found] == [row, {**empty, "document": None}]
        assert sa.inspect(connection).get_table_names() == ["kinds"]
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM kinds WHERE text LIKE '100 %%'")) == 1


@pytest.mark.parametrize("lent", ["postgresql"], indirect=True)
def test_postgresql_has_its_own_types(engine: sa.Engine) -> None:
    table = sa.Table(
        "own",
        sa.MetaData(),
        sa.Column("names", postgresql.ARRAY(sa.Text)),
        sa.Column("document", postgresql.JSONB),
        sa.Column("moment", sa.DateTime(timezone=True)),
    )
    row = (["a", "b'c"], {"k": [1, 2]}, datetime(2026, 1, 2, tzinfo=UTC))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [dict(zip(table.c.keys(), row, strict=True))])
        assert tuple(connection.execute(table.select()).one()) == row
        with pytest.raises(sa.exc.NotSupportedError, match="not carried"):
            connection.execute(sa.text("SELECT int4range(1, 5)")).all()


def test_errors_are_the_drivers(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        things.METADATA.create_all(connection)
        connection.execute(things.THINGS.insert().values(name="a"))
    with engine.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError) as unique, connection.begin():
            connection.execute(things.THINGS.insert().values(name="a"))
        assert not unique.value.connection_invalidated
        with pytest.raises(sa.exc.DBAPIError) as wrong, connection.begin():
            connection.execute(sa.text("SELECT * FROM nowhere"))
        assert isinstance(wrong.value, (sa.exc.ProgrammingError, sa.exc.OperationalError))
        assert connection.scalar(sa.select(sa.func.count()).select_from(things.THINGS)) == 1


def test_transactions_and_savepoints_are_sqlalchemys(engine: sa.Engine) -> None:
    count = sa.select(sa.func.count()).select_from(things.THINGS)
    with engine.begin() as connection:
        things.METADATA.create_all(connection)
    with engine.connect() as connection:
        connection.execute(things.THINGS.insert().values(name="undone"))
        connection.rollback()
        assert connection.scalar(count) == 0
        connection.rollback()
        with connection.begin():
            connection.execute(things.THINGS.insert().values(name="kept"))
            with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
                connection.execute(things.THINGS.insert().values(name="kept"))
            connection.execute(things.THINGS.insert().values(name="kept too"))
    with engine.connect() as connection:
        assert connection.scalar(count) == 2


def test_many_rows_are_one_message(engine: sa.Engine, lent: Lent) -> None:
    with engine.begin() as connection:
        things.METADATA.create_all(connection)
        lent.link.asked.clear()
        insert = things.THINGS.insert().values(satoshis=sa.bindparam("s"), name=sa.bindparam("n"))
        connection.execute(insert, [{"s": each, "n": f"n{each}"} for each in range(500)])
        assert lent.link.asked.count("session_execute_many") == 1
        assert len(lent.link.asked) <= 2
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.sum(things.THINGS.c.satoshis))) == sum(range(500))


async def test_a_commit_whose_answer_is_lost_is_unknown_and_done_once(lent: Lent) -> None:
    async with await Database.open(lent.url, timeout=10) as database:
        await database.migrate(things.create)
        lost = lent.lose_answers_to("COMMIT")
        with pytest.raises(CommitUnknown):
            await database.write(things.add, "once")
        assert lost == ["COMMIT"]
        assert [row.name for row in await database.read(_names)] == ["once"]
        await database.write(things.add, "next")
        assert [row.name for row in await database.read(_names)] == ["once", "next"]


@pytest.mark.parametrize("lent", ["sqlite"], indirect=True)
async def test_a_batch_whose_commit_is_lost_is_unknown_to_each_of_its_units(lent: Lent) -> None:
    async with await Database.open(lent.url, timeout=10) as database:
        await database.migrate(things.create)
        lost = lent.lose_answers_to("COMMIT")
        units = (database.write(things.add, f"unit {number}") for number in range(20))
        ends = await asyncio.gather(*units, return_exceptions=True)
        unknown = [end for end in ends if isinstance(end, BaseException)]
        assert unknown
        assert all(isinstance(end, CommitUnknown) for end in unknown)
        assert lost == ["COMMIT"]
        assert sorted(row.name for row in await database.read(_names)) == sorted(f"unit {each}" for each in range(20))


async def test_a_statement_whose_answer_is_lost_undoes_its_unit(lent: Lent) -> None:
    """Nothing was committed, so a server's unit is run again; SQLite's says that the database was gone."""
    async with await Database.open(lent.url, timeout=10) as database:
        await database.migrate(things.create)
        lost = lent.lose_answers_to("INSERT")
        try:
            await database.write(things.add, "one")
        except StorageUnavailable:
            assert database.dialect == "sqlite"
            await database.write(things.add, "one")
        assert len(lost) == 1
        assert [row.name for row in await database.read(_names)] == ["one"]


@pytest.mark.parametrize("lent", ["sqlite", "postgresql"], indirect=True)
async def test_a_migration_that_loses_its_session_changes_nothing(lent: Lent) -> None:
    async with await Database.open(lent.url, timeout=10) as database:
        lost = lent.lose_answers_to("\nCREATE TABLE parts")
        try:
            await database.migrate(things.create)
        except StorageUnavailable:
            assert await database.read(_tables) == []
            await database.migrate(things.create)
        assert lost
        assert await database.read(_tables) == ["parts", "things"]
        if database.dialect == "sqlite":
            with pytest.raises(ConstraintViolated):  # foreign keys are looked at again
                await database.write(lambda unit: unit.insert(things.ADD_PART, thingId=99))


async def test_an_open_transaction_is_undone_when_its_time_is_over_and_when_its_module_is_gone(lent: Lent) -> None:
    engine = sa.create_engine(lent.url)
    found = process_link()
    assert found is not None

    def left_open(name: str) -> sa.Connection:
        connection = engine.connect()
        connection.execute(things.THINGS.insert().values(name=name))
        return connection

    async with await Database.open(lent.url, timeout=20) as database:
        await database.migrate(things.create)
        idle = await asyncio.to_thread(left_open, "idle")
        (session,) = (each for each in lent.host._connections.all().values() if each.open)
        assert isinstance(session, LentSession)
        assert session._timer is not None
        assert session._timer.when() <= found.loop.time() + 30.0, "the scope's idle_seconds"
        found.loop.call_soon_threadsafe(session._over)  # as the timer does
        await until(lambda: not lent.host.open_transactions("m"))
        with pytest.raises(sa.exc.OperationalError, match="too long"):
            await asyncio.to_thread(idle.commit)
        await asyncio.to_thread(idle.close)
        await database.write(things.add, "after the idle one")
        dead = await asyncio.to_thread(left_open, "dead")
        asyncio.run_coroutine_threadsafe(lent.host.release("m"), found.loop).result()
        assert [row.name for row in await database.read(_names)] == ["after the idle one"]
        await asyncio.to_thread(dead.invalidate)
        await asyncio.to_thread(dead.close)
    await asyncio.to_thread(engine.dispose)


async def test_results_over_the_limits_are_refused_and_the_next_unit_runs(lent: Lent) -> None:
    async with await Database.open(lent.url, timeout=10) as database:
        await database.migrate(things.create)
        await database.write(_fill, 201)
        with pytest.raises(StorageError, match="more than 200 rows"):
            await database.read(_names)
        with pytest.raises(StorageError, match="more than 200 rows"):
            await database.write(_names)
        assert len(await database.read(lambda unit: unit.rows(things.AMONG, names=["n1", "n2"]))) == 2
        await database.write(things.add, "one more")


SCOPE_ATTACKS = {
    "sqlite": [
        "ATTACH DATABASE '/tmp/stolen.db' AS stolen",
        "PRAGMA journal_mode = OFF",
        "PRAGMA synchronous = OFF",
        "PRAGMA busy_timeout = 100000000",
        "PRAGMA writable_schema = ON",
        "VACUUM INTO '/tmp/stolen.db'",
        "SELECT load_extension('/tmp/evil.so')",
    ],
    "postgresql": [
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "SELECT * FROM pg_authid",
        "CREATE ROLE thief",
        "SET ROLE postgres",
        "SELECT lo_import('/etc/passwd')",
        "COPY (SELECT 1) TO STDOUT",
        "SELECT 1; SELECT 2",
    ],
    "mysql": [
        "SELECT * FROM mysql.user",
        "CREATE USER thief",
        "SELECT 1 INTO OUTFILE '/tmp/stolen'",
        "SET GLOBAL general_log_file = '/tmp/stolen'",
        "USE mysql",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE things",
    ],
}


def test_sql_beyond_the_scope_is_refused_and_the_session_goes_on(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    name = "mysql" if engine.dialect.name in ("mysql", "mariadb") else engine.dialect.name
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for attack in SCOPE_ATTACKS[name]:
            for many in (None, [(), ()]):
                with pytest.raises(sa.exc.DBAPIError) as refused:
                    connection.exec_driver_sql(attack, many)
                assert not refused.value.connection_invalidated or "STDOUT" in attack, attack
                connection.rollback()
        assert connection.scalar(sa.select(sa.literal(7))) == 7
    told = [record.getMessage() for record in caplog.records if "database_refused" in record.getMessage()]
    assert told, "the operator hears of it"
    assert not any(attack in line for line in told for attack in SCOPE_ATTACKS[name])


async def test_requests_that_are_none_are_refused_by_the_host(lent: Lent) -> None:
    found = process_link()
    assert found is not None

    async def ask(operation: str, params: Any, module: str = "m", session: str | None = None) -> Any:
        work = lent.host.operate(module, session or connection, operation, params)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, found.loop))

    opening = lent.host.open("m", {"database": "main", "session": True})
    connection = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(opening, found.loop))
    for params in ({}, {"packed": 5}, {"packed": "?"}, {"packed": pack(1)}, {"packed": pack(["SELECT 1"])}):
        answer = unpack((await ask("session_execute", params))["packed"])
        assert answer["state"] == "idle"
        assert "refused" in answer
    for packed in (["SELECT 1", 5], [5, []]):
        assert "refused" in unpack((await ask("session_execute", {"packed": pack(packed)}))["packed"])
    assert "refused" in unpack((await ask("session_execute_many", {"packed": pack(["X", [5], False])}))["packed"])
    with pytest.raises(QueryError, match="no operation"):
        await ask("execute", {"query": "SELECT 1"})
    with pytest.raises(Exception, match="no such connection"):
        await ask("session_execute", {"packed": pack(["SELECT 1", None])}, module="other")
    await ask("close", {})


async def test_what_cannot_be_lent_is_said_in_words(lent: Lent) -> None:
    name = lent.url.partition(":")[0]
    with pytest.raises(DatabaseConfigurationError, match="no database of that name"):
        await Database.open(f"{name}://other")
    with pytest.raises(ConfigurationError, match="takes the name"):
        await Database.open(f"{name}://user:password@main/x")
    engine = sa.create_engine(lent.url)
    found = process_link()
    assert found is not None

    async def in_its_loop() -> None:
        engine.connect()

    with pytest.raises(RuntimeError, match="in a thread"):
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(in_its_loop(), found.loop))
    lent.link.extensions = frozenset({"correlation"})
    with pytest.raises(Unsupported):
        await Database.open(lent.url)


async def test_outside_a_module_nothing_is_lent() -> None:
    assert process_link() is None
    with pytest.raises(ConfigurationError, match="this process is none"):
        await Database.open("lent+sqlite://main")


def _names(unit: Unit) -> list[Any]:
    return unit.rows(things.NAMES)


def _tables(unit: Unit) -> list[str]:
    return sorted(sa.inspect(unit.connection).get_table_names())


def _fill(unit: Unit, count: int) -> None:
    unit.run_many(things.ADD, [{"name": f"n{number}"} for number in range(count)])
