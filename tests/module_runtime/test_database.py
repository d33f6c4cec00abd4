"""The contract of a module's database, held by SQLite, PostgreSQL and MariaDB alike."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
import pytest_asyncio
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.data.database import (
    CommitUnknown,
    Database,
    DatabaseConfig,
    DatabaseConfigurationError,
    DatabaseConnectionError,
    PoolConfig,
    PoolExhausted,
    QueryError,
    Row,
    TransactionError,
    open_database,
)
from sdk.module_runtime.data.database.proxied import open_proxied
from sdk.module_runtime.data.database.statement import prepare
from support.host_link import hosted
from support.requirements import server_url, vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BINARY = {"sqlite": "BLOB", "postgres": "BYTEA", "mysql": "LONGBLOB"}
OWN_ID = {"postgres": "SELECT pg_backend_pid() AS id", "mysql": "SELECT CONNECTION_ID() AS id"}
KILL = {"postgres": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
POOL = PoolConfig(max_connections=4)


def server_config(db_type: str, pool: PoolConfig = POOL) -> DatabaseConfig:
    url = sa.make_url(server_url({"postgres": "postgresql", "mysql": "mariadb"}[db_type]))
    return DatabaseConfig(
        db_type=db_type,  # type: ignore[arg-type]
        host=url.host,
        port=url.port,
        database=url.database or "",
        username=url.username,
        password=url.password,
        pool=pool,
    )


@pytest_asyncio.fixture(
    params=[f"{db_type}{way}" for db_type in ("sqlite", "postgres", "mysql") for way in ("", "-proxied")]
)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Direct, and through the orchestrator's host: both hold the same contract."""
    db_type, _, way = request.param.partition("-")
    if db_type == "sqlite":
        config = DatabaseConfig(db_type="sqlite", database=str(tmp_path / "new" / "folder" / "a.db"), pool=POOL)
    else:
        config = server_config(db_type)
    if not way:
        opened = await open_database(config)
        yield opened
        await opened.close()
        return
    roomy = config.model_copy(update={"pool": PoolConfig(max_connections=5)})
    async with hosted(roomy, transactions=4) as (host, link):
        proxied = await open_proxied(link, config.model_copy(update={"database": "main"}))
        proxied.config = config  # by which tests look at the database itself
        yield proxied  # type: ignore[misc]
        await proxied.close()
        assert host.open_transactions("m") == 0


@pytest_asyncio.fixture
async def table(database: Database) -> AsyncIterator[str]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    binary = BINARY[database.config.db_type]
    await database.execute(
        f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, name TEXT, ratio DOUBLE PRECISION, flag BOOLEAN, data {binary})"
    )
    yield name
    again = await open_database(database.config)
    await again.execute(f"DROP TABLE {name}")
    await again.close()


async def count(database: Database, table: str) -> int:
    row = await database.query_one(f"SELECT COUNT(*) AS n FROM {table}")
    assert row is not None
    return row.get_i64("n")


async def test_values_come_back_as_they_were_given(database: Database, table: str) -> None:
    data = bytes(range(256)) * 5
    given_values = [2**63 - 1, "50% of 'ü' ? \\ 𝄞", 1.5, True, data]
    assert await database.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", given_values) == 1
    row = await database.query_one(f"SELECT * FROM {table} WHERE id = ?", [2**63 - 1])
    assert row is not None
    read = [row.get_i64("id"), row.get_string("name"), row.get_f64("ratio"), row.get_bool("flag")]
    assert [*read, row.get_bytes("data")] == given_values


async def test_null_is_none_for_try_get_and_an_error_for_get(database: Database, table: str) -> None:
    await database.execute(f"INSERT INTO {table} (id, name, data) VALUES (?, ?, ?)", [1, None, None])
    [row] = await database.query(f"SELECT * FROM {table}")
    assert (row.try_get_string("name"), row.try_get_bytes("data"), row.try_get_i64("absent")) == (None, None, None)
    with pytest.raises(QueryError, match="query error: Column 'name' is not a string: it is NULL"):
        row.get_string("name")
    with pytest.raises(QueryError, match="Column 'absent' not found"):
        row.get_i64("absent")
    with pytest.raises(QueryError, match="Column 'id' is not a string"):
        row.try_get_string("id")


async def test_quotes_comments_and_percent_signs_are_no_placeholders(database: Database) -> None:
    row = await database.query_one("SELECT '? 100% %s' AS a, 7 % 4 AS b, /* ? */ ? AS c -- ?", ["x"])
    assert row == Row({"a": "? 100% %s", "b": 3, "c": "x"})


async def test_rows_affected_are_counted_alike(database: Database, table: str) -> None:
    for number in range(3):
        await database.execute(f"INSERT INTO {table} (id, name) VALUES (?, 'a')", [number])
    assert await database.execute(f"UPDATE {table} SET name = 'a' WHERE id < ?", [2]) == 2
    assert await database.execute(f"DELETE FROM {table}") == 3
    assert await database.query(f"SELECT * FROM {table}") == []
    assert await database.query_one(f"SELECT * FROM {table}") is None


async def test_a_committed_transaction_stays_and_is_over(database: Database, table: str) -> None:
    async with await database.begin_transaction() as transaction:
        await transaction.execute(f"INSERT INTO {table} (id) VALUES (?)", [1])
        assert await count(database, table) == 0
        await transaction.commit()
    assert await count(database, table) == 1
    with pytest.raises(TransactionError, match="was committed"):
        await transaction.commit()
    with pytest.raises(TransactionError, match="was committed"):
        await transaction.execute(f"DELETE FROM {table}")
    assert await count(database, table) == 1


@pytest.mark.parametrize("how", ["rollback", "leave", "raise", "close"])
async def test_without_a_commit_nothing_stays(database: Database, table: str, how: str) -> None:
    transaction = await database.begin_transaction()
    await transaction.execute(f"INSERT INTO {table} (id) VALUES (?)", [1])
    if how == "rollback":
        await transaction.rollback()
    elif how == "close":
        await database.close()
    elif how == "leave":
        async with transaction:
            pass
    else:
        with pytest.raises(KeyError):
            async with transaction:
                raise KeyError(how)
    again = await open_database(database.config)
    assert await count(again, table) == 0
    await again.close()


async def test_a_failed_statement_undoes_its_transaction(database: Database, table: str) -> None:
    transaction = await database.begin_transaction()
    await transaction.execute(f"INSERT INTO {table} (id) VALUES (1)")
    with pytest.raises(QueryError):
        await transaction.execute(f"INSERT INTO {table} (id) VALUES (1)")
    with pytest.raises(TransactionError, match="was rolled back when a statement failed"):
        await transaction.commit()
    assert await count(database, table) == 0


async def test_statements_that_end_a_transaction_are_found_out(database: Database, table: str) -> None:
    transaction = await database.begin_transaction()
    await transaction.execute(f"INSERT INTO {table} (id) VALUES (1)")
    with pytest.raises(TransactionError, match="ended the transaction by itself"):
        await transaction.execute("ROLLBACK")
    with pytest.raises(TransactionError):
        await transaction.execute(f"INSERT INTO {table} (id) VALUES (2)")
    assert await count(database, table) == 0


async def test_a_transaction_begun_behind_our_back_does_not_reach_the_next_user(database: Database, table: str) -> None:
    with pytest.raises(QueryError, match="use begin_transaction"):
        await database.execute({"mysql": "START TRANSACTION"}.get(database.config.db_type, "BEGIN"))
    await database.execute(f"INSERT INTO {table} (id) VALUES (1)")
    again = await open_database(database.config)
    assert await count(again, table) == 1
    await again.close()


async def test_concurrent_statements_share_the_pool(database: Database, table: str) -> None:
    await asyncio.gather(*(database.execute(f"INSERT INTO {table} (id) VALUES (?)", [number]) for number in range(40)))
    assert await count(database, table) == 40


async def test_a_cancelled_caller_leaves_the_pool_whole(database: Database, table: str) -> None:
    for number in range(12):
        task = asyncio.ensure_future(database.begin_transaction())
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        [found] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(found, asyncio.CancelledError)
    transactions = [await database.begin_transaction()]
    if database.config.db_type != "sqlite":  # one writer at a time there
        transactions += [await database.begin_transaction() for _ in range(3)]
    for transaction in transactions:
        await transaction.rollback()
    assert await count(database, table) == 0


async def test_a_cancelled_statement_undoes_its_transaction(database: Database, table: str) -> None:
    transaction = await database.begin_transaction()
    task = asyncio.ensure_future(transaction.execute(f"INSERT INTO {table} (id) VALUES (1)"))
    await asyncio.sleep(0)
    task.cancel()
    [found] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(found, asyncio.CancelledError)
    with pytest.raises(TransactionError, match="was rolled back"):
        await transaction.commit()
    assert await count(database, table) == 0


async def test_text_that_is_no_unicode_is_a_query_error(database: Database, table: str) -> None:
    with pytest.raises(QueryError, match="query error"):
        await database.execute(f"INSERT INTO {table} (id, name) VALUES (1, ?)", ["\ud800"])
    assert await count(database, table) == 0


async def test_close_refuses_those_who_wait_and_awaits_those_at_work(tmp_path: Path) -> None:
    pool = PoolConfig(max_connections=1)
    database = await open_database(DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"), pool=pool))
    await database.begin_transaction()
    waiting = [asyncio.ensure_future(work) for work in (database.ping(), database.begin_transaction())]
    await asyncio.sleep(0)
    await database.close()
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(found, DatabaseConnectionError)


async def test_an_exhausted_pool_says_so() -> None:
    pool = PoolConfig(max_connections=1, acquire_timeout_seconds=0)
    database = Database(DatabaseConfig(db_type="sqlite", database=":memory:", pool=pool))
    transaction = await database.begin_transaction()
    with pytest.raises(PoolExhausted, match="pool error: all 1 connections"):
        await database.ping()
    await transaction.rollback()
    await database.ping()
    await database.close()


async def test_a_database_in_memory_is_one_database() -> None:
    database = await open_database(DatabaseConfig(db_type="sqlite", database=":memory:"))
    await database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    await asyncio.gather(*(database.execute("INSERT INTO t VALUES (?)", [number]) for number in range(20)))
    assert await count(database, "t") == 20
    await database.close()
    with pytest.raises(DatabaseConnectionError, match="was closed"):
        await database.ping()


@pytest.mark.parametrize("db_type", ["postgres", "mysql"])
async def test_a_broken_connection_is_an_error_once_and_replaced(db_type: str) -> None:
    database = await open_database(server_config(db_type))
    other = await open_database(server_config(db_type))
    own, kill = OWN_ID[db_type], KILL[db_type]
    transaction = await database.begin_transaction()
    row = await transaction.query_one(own)
    assert row is not None
    await other.query(kill.format(row.get_i64("id")))
    with pytest.raises(DatabaseConnectionError):
        await transaction.query(own)
    with pytest.raises(TransactionError):
        await transaction.commit()
    await database.ping()
    await other.close()
    await database.close()


@pytest.mark.parametrize("db_type", ["postgres", "mysql"])
async def test_a_connection_that_breaks_at_commit_leaves_the_end_unknown(db_type: str) -> None:
    database = await open_database(server_config(db_type))
    other = await open_database(server_config(db_type))
    transaction = await database.begin_transaction()
    own, kill = OWN_ID[db_type], KILL[db_type]
    row = await transaction.query_one(own)
    assert row is not None
    await other.query(kill.format(row.get_i64("id")))
    with pytest.raises(CommitUnknown, match="broke during COMMIT"):
        await transaction.commit()
    with pytest.raises(TransactionError, match="has an unknown end"):
        await transaction.commit()
    await database.ping()
    await other.close()
    await database.close()


async def test_ddl_that_commits_by_itself_is_reported_on_mariadb() -> None:
    database = await open_database(server_config("mysql"))
    name = f"t_{uuid.uuid4().hex[:12]}"
    transaction = await database.begin_transaction()
    with pytest.raises(TransactionError, match="ended the transaction by itself"):
        await transaction.execute(f"CREATE TABLE {name} (id INT)")
    await database.execute(f"DROP TABLE {name}")
    await database.close()


async def test_a_server_that_is_not_there_is_a_connection_error(unused_tcp_port: int) -> None:
    config = DatabaseConfig(db_type="postgres", host="127.0.0.1", port=unused_tcp_port, database="a", password="hush")
    with pytest.raises(DatabaseConnectionError, match="cannot be opened") as refused:
        await open_database(config)
    assert "hush" not in str(refused.value) + repr(config)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"db_type": "mysql", "database": "a", "ssl_mode": "require"}, "ssl_mode 'require' cannot be held"),
        ({"db_type": "mysql", "database": "a", "extra_params": {"local_infile": "1"}}, "local_infile are unknown"),
    ],
)
def test_what_cannot_be_held_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(DatabaseConfigurationError, match=reason):
        Database(DatabaseConfig.model_validate(config))


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseConfigurationError, match=r"psycopg is not installed.*\[postgresql\]"):
        Database(DatabaseConfig(db_type="postgres", database="a"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2**63, -(2**63) - 1, object(), {"a": 1}, [1]])
def test_parameters_without_an_sql_form_are_refused(bad: object) -> None:
    with pytest.raises(QueryError, match="parameter 1"):
        prepare("sqlite", "SELECT ?", [bad])


def test_placeholders_and_parameters_must_fit() -> None:
    with pytest.raises(QueryError, match="2 placeholders but 1 parameters"):
        prepare("mysql", "SELECT ?, ?", [1])
    with pytest.raises(QueryError, match="without gaps"):
        prepare("postgres", "SELECT $2", [1])
    assert prepare("postgres", "SELECT a ? $2, $1, $2, $$ ? $$", [1, "k"]) == (
        "SELECT a ? %s, %s, %s, $$ ? $$",
        ("k", 1, "k"),
    )


@given(st.text(), st.binary(max_size=200))
def test_any_text_in_quotes_stays_text(text: str, data: bytes) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert prepare("sqlite", f"SELECT {quoted}, ?", [data]) == (f"SELECT {quoted}, ?", (data,))


def test_configurations_are_read_as_the_reference_reads_them() -> None:
    cases = json.loads(vectors("module-runtime", "09_data_config.json").read_text())["cases"]
    ours = [case for case in cases if case["type"] == "DatabaseConfig"]
    assert len(ours) >= 4
    for case in ours:
        text = case.get("text") or case["input"]
        if case.get("accepted", True):
            config = DatabaseConfig.model_validate_json(text)
            if "value" in case:
                assert config.model_dump(mode="json") == case["value"]
        else:
            with pytest.raises(pydantic.ValidationError):
                DatabaseConfig.model_validate_json(text)
