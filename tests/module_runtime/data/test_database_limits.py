"""A database that is lent: no statement takes more than it may, reaches beyond its scope, or goes on for ever."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sdk.module_runtime.data.database import (
    DatabaseConfig,
    DatabaseConfigurationError,
    DatabaseConnectionError,
    DatabaseError,
    LimitExceeded,
    NotPermitted,
    QueryError,
    StatementLimits,
    TransactionError,
    open_database,
)
from sdk.module_runtime.data.database.errors import CommitUnknown, PoolExhausted, error_of
from sdk.module_runtime.data.database.guard import check_rights
from support.module_databases import BINARY, KINDS, module_database
from support.requirements import server_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.module_runtime.data.database import (
        Database,
    )

LIMITS = StatementLimits(rows=100, bytes=100_000, seconds=1.0)
FOREVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n",
    "postgres": "SELECT pg_sleep(600)",
    "mysql": "SELECT COUNT(*) FROM seq_1_to_100000 a, seq_1_to_100000 b, seq_1_to_100000 c",
}
GIANT = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, hex(zeroblob(20000)) FROM n",
    "postgres": "SELECT i, repeat('x', 40000) AS x FROM generate_series(1, 1000000) i",
    "mysql": "SELECT seq, repeat('x', 40000) AS x FROM seq_1_to_100000000",
}
MANY = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "postgres": "SELECT i FROM generate_series(1, 1000000) i",
    "mysql": "SELECT seq FROM seq_1_to_100000000",
}


@pytest_asyncio.fixture(params=KINDS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    with module_database(request.param, tmp_path) as config:
        opened = await open_database(config, limits=LIMITS)
        binary = BINARY[request.param]
        await opened.execute(f"CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT, data {binary})")
        yield opened
        await opened.close()


async def numbers(database: Database) -> list[int]:
    return [row.get_i64("id") for row in await database.query("SELECT id FROM t ORDER BY id")]


async def test_a_bounded_database_answers_as_one_without_bounds(database: Database) -> None:
    data = bytes(range(256))
    assert await database.execute("INSERT INTO t VALUES (?, ?, ?)", [1, "50% ? ü", data]) == 1
    assert await database.execute("INSERT INTO t (id) VALUES (2), (3)") == 2
    assert await database.execute("INSERT INTO t (id) SELECT id + 10 FROM t") == 3
    assert await database.execute("WITH x AS (SELECT 1) SELECT * FROM x") in (0, 1)
    assert await database.execute("UPDATE t SET name = 'x' WHERE id > 1") == 5
    assert await database.execute("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id > 10)") == 3
    rows = await database.query("SELECT * FROM t ORDER BY id")
    assert [row.get_i64("id") for row in rows] == [1, 2, 3]
    assert (rows[0].get_string("name"), rows[0].get_bytes("data")) == ("50% ? ü", data)
    one = await database.query_one("SELECT id FROM t ORDER BY id")
    assert one is not None
    assert one.get_i64("id") == 1
    assert await database.query_one("SELECT id FROM t WHERE id = 99") is None
    assert await database.query("SELECT id FROM t WHERE id = 99") == []
    row = await database.query_one("INSERT INTO t (id) VALUES (4) RETURNING id")
    assert row is not None
    assert row.get_i64("id") == 4
    async with await database.begin_transaction() as transaction:
        assert await transaction.execute("INSERT INTO t (id) VALUES (5)") == 1
        assert len(await transaction.query("SELECT id FROM t")) == 5
        await transaction.commit()
    assert await numbers(database) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("operation", ["query", "query_one", "execute"])
async def test_a_query_that_never_ends_is_stopped_and_the_connection_serves_again(
    database: Database, operation: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(LimitExceeded, match="stopped after 1 s"):
        await getattr(database, operation)(FOREVER[database.config.db_type])
    assert time.monotonic() - begun < 10
    await asyncio.gather(*(database.ping() for _ in range(8)))


async def test_one_that_never_ends_undoes_its_transaction(database: Database) -> None:
    transaction = await database.begin_transaction()
    await transaction.execute("INSERT INTO t (id) VALUES (1)")
    with pytest.raises(LimitExceeded, match="stopped"):
        await transaction.query(FOREVER[database.config.db_type])
    with pytest.raises(TransactionError, match="was rolled back"):
        await transaction.commit()
    assert await numbers(database) == []


async def test_a_giant_result_is_refused_and_never_held(database: Database) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for query in (GIANT, MANY):
        for _ in range(2):
            with pytest.raises(LimitExceeded, match=r"larger than|more than 100 rows|stopped"):
                await database.query(query[database.config.db_type])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    await asyncio.gather(*(database.ping() for _ in range(8)))


async def test_a_giant_result_that_is_not_wanted_is_not_held_either(database: Database) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for work in (database.execute, database.query_one):
        with contextlib.suppress(LimitExceeded):  # where it takes too long
            await work(GIANT[database.config.db_type])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    await database.ping()


async def test_a_write_that_returns_too_much_says_so_and_is_done(database: Database) -> None:
    many = ", ".join(f"({number})" for number in range(150))
    with pytest.raises(LimitExceeded, match="more than 100 rows"):
        await database.query(f"INSERT INTO t (id) VALUES {many} RETURNING id")
    row = await database.query_one("SELECT COUNT(*) AS n FROM t")
    assert row is not None
    assert row.get_i64("n") == 150


async def test_a_cancelled_statement_is_stopped_at_once(database: Database) -> None:
    task = asyncio.create_task(database.query(FOREVER[database.config.db_type]))
    async with asyncio.timeout(5):
        while not any(each._connection for each in database._running):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    [found] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(found, asyncio.CancelledError)
    await database.ping()


async def test_close_stops_what_runs(database: Database, tmp_path: Path) -> None:
    other = await open_database(database.config, limits=StatementLimits(100, 100_000, seconds=600))
    task = asyncio.create_task(other.query(FOREVER[database.config.db_type]))
    async with asyncio.timeout(5):
        while not any(each._connection for each in other._running):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        await other.close()
        [found] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(found, DatabaseError)


@pytest.mark.parametrize(
    "attack",
    [
        "ATTACH DATABASE '{folder}/other.db' AS other",
        "ATTACH DATABASE ':memory:' AS other",
        "VACUUM INTO '{folder}/copy.db'",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = OFF",
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA temp_store_directory = '{folder}'",
        "PRAGMA database_list",
        "PRAGMA hard_heap_limit = 1",
        "SELECT load_extension('{folder}/x.so')",
        "SELECT zeroblob(2000000000)",
        "SELECT * FROM pragma_database_list",
    ],
)
async def test_sqlite_stays_in_its_file(tmp_path: Path, attack: str) -> None:
    config = DatabaseConfig(db_type="sqlite", database=str(tmp_path / "own" / "a.db"))
    database = await open_database(config, limits=LIMITS)
    for work in (database.execute, database.query):
        with pytest.raises(QueryError):
            await work(attack.format(folder=tmp_path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["own"]  # noqa: ASYNC240
    row = await database.query_one("PRAGMA journal_mode")
    assert row is not None
    assert row.get_string("journal_mode") == "wal"
    await database.query("PRAGMA table_info(t)")
    await database.close()


@pytest.mark.parametrize(
    ("kind", "attack"),
    [
        ("postgres", "SELECT pg_read_file('/etc/passwd')"),
        ("postgres", "COPY t TO '/tmp/stolen'"),
        ("postgres", "COPY t FROM PROGRAM 'id'"),
        ("postgres", "SELECT * FROM pg_authid"),
        ("postgres", "CREATE ROLE thief"),
        ("postgres", "ALTER ROLE current_user SUPERUSER"),
        ("postgres", "SET ROLE postgres"),
        ("postgres", "SELECT * FROM {other}.t"),
        ("postgres", "DROP SCHEMA {other} CASCADE"),
        ("mysql", "SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/stolen'"),
        ("mysql", "SELECT * FROM {other}.t"),
        ("mysql", "DROP DATABASE {other}"),
        ("mysql", "SELECT * FROM mysql.user"),
        ("mysql", "CREATE USER thief"),
        ("mysql", "SET GLOBAL general_log_file = '/tmp/stolen'"),
        ("mysql", "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t"),
    ],
)
async def test_the_servers_own_rights_end_at_the_scope(tmp_path: Path, kind: str, attack: str) -> None:
    with module_database(kind, tmp_path) as config, module_database(kind, tmp_path) as other:
        victim, thief = await open_database(other), await open_database(config, limits=LIMITS)
        await check_rights(thief)
        await victim.execute("CREATE TABLE t (id INT)")
        await thief.execute("CREATE TABLE t (id INT)")
        with pytest.raises((NotPermitted, QueryError)):
            await thief.query(attack.format(other=other.username))
        with pytest.raises((NotPermitted, QueryError)):
            await thief.execute(attack.format(other=other.username))
        await thief.ping()
        assert await victim.query("SELECT * FROM t") == []
        await victim.close()
        await thief.close()


@pytest.mark.parametrize(
    "odd",
    ["COPY t TO STDOUT", "COPY t FROM STDIN", "SELECT 1; SELECT 2", "BEGIN", "LISTEN a", "/* /* */ insert */ SELECT 1"],
)
async def test_odd_statements_leave_postgres_ready(tmp_path: Path, odd: str) -> None:
    with module_database("postgres", tmp_path) as config:
        database = await open_database(config, limits=LIMITS)
        await database.execute("CREATE TABLE t (id INT)")
        for work in (database.execute, database.query, database.query_one):
            try:
                await work(odd)
            except QueryError:
                assert odd not in ("LISTEN a", "/* /* */ insert */ SELECT 1")
        await asyncio.gather(*(database.ping() for _ in range(8)))
        await database.close()


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_mighty_user_is_no_modules(kind: str, tmp_path: Path) -> None:
    import sqlalchemy as sa

    url = sa.make_url(server_url({"postgres": "postgresql", "mysql": "mariadb"}[kind]))
    mighty = DatabaseConfig(
        db_type=kind,  # type: ignore[arg-type]
        host=url.host, port=url.port, database=url.database or "", username=url.username, password=url.password,
    )  # fmt: skip
    database = await open_database(mighty)
    with pytest.raises(DatabaseConfigurationError, match="the module a"):
        await check_rights(database)
    await database.close()


def test_an_errors_text_says_which_it_is() -> None:
    for error in (
        QueryError("a"), NotPermitted("b: c"), LimitExceeded("d"), CommitUnknown("e"), TransactionError("f"),
        PoolExhausted("g"), DatabaseConfigurationError("h"),
    ):  # fmt: skip
        again = error_of(str(error))
        assert (type(again), again.reason) == (type(error), error.reason)
    assert type(error_of("the orchestrator failed")) is DatabaseError


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
@pytest.mark.parametrize("commits", [False, True])
async def test_a_server_that_falls_silent_holds_nobody_for_ever(kind: str, commits: bool, tmp_path: Path) -> None:
    """As when its machine hangs: connections stay, and nothing comes, not even in answer to a cancel."""
    silent = asyncio.Event()
    copies: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not silent.is_set():
                    writer.write(data)
        writer.close()

    with module_database(kind, tmp_path) as config:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(config.host, config.port)
            writers.extend((writer, back))
            copies.update((asyncio.create_task(copy(reader, back)), asyncio.create_task(copy(there, writer))))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        through = config.model_copy(update={"port": server.sockets[0].getsockname()[1]})
        async with server, asyncio.timeout(60):
            database = await open_database(through, limits=StatementLimits(100, 100_000, 2.0))
            await database.execute("CREATE TABLE t (id INT)")
            transaction = await database.begin_transaction() if commits else None
            silent.set()
            if transaction is not None:
                with pytest.raises(CommitUnknown):
                    await transaction.commit()
            else:
                with pytest.raises((LimitExceeded, DatabaseConnectionError)):
                    await database.query("SELECT id FROM t")
            silent.clear()
            await database.ping()
            await database.close()
            for writer in writers:
                writer.close()
            await asyncio.gather(*copies)


async def test_sqlite_looks_for_no_more_than_the_first_row(tmp_path: Path) -> None:
    config = DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))
    database = await open_database(config, limits=LIMITS)
    row = await database.query_one(MANY["sqlite"])
    assert row is not None
    assert row.get_i64("i") == 1
    await database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    many = ", ".join(f"({number})" for number in range(150))
    assert await database.query_one(f"INSERT INTO t (id) VALUES {many} RETURNING id") is not None
    row = await database.query_one("SELECT COUNT(*) AS n FROM t")
    assert row is not None
    assert row.get_i64("n") == 150
    await database.close()
