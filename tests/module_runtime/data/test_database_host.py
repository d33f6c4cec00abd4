"""What the orchestrator's Database service lends, to whom, and for how long; and what a proxy makes of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.data.database import (
    CommitUnknown,
    DatabaseConfig,
    DatabaseConfigurationError,
    DatabaseConnectionError,
    LimitExceeded,
    PoolConfig,
    PoolExhausted,
    QueryError,
    TransactionError,
    open_database,
)
from sdk.module_runtime.data.database.proxied import ProxiedDatabase, open_proxied
from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
from sdk.module_runtime.orchestrator.hosts.scopes import DatabaseLimits, DatabaseScope
from sdk.module_runtime.orchestrator.hosts.transactions import Slots, Transactions
from support.host_link import HostLink, hosted, scope_of
from support.module_databases import KINDS, module_database
from support.requirements import server_url, vectors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIN = DatabaseConfig(db_type="sqlite", database="main")


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseConfig]:
    with module_database(request.param, tmp_path) as made:
        yield made


def named(config: DatabaseConfig) -> DatabaseConfig:
    return DatabaseConfig(db_type=config.db_type, database="main")


async def names(config: DatabaseConfig) -> list[str]:
    database = await open_database(config)
    found = [row.get_string("name") for row in await database.query("SELECT name FROM t ORDER BY name")]
    await database.close()
    return found


async def test_the_operations_answer_in_the_shapes_of_the_table(tmp_path: Path) -> None:
    config = DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))
    async with hosted(config) as (host, _):
        connection = await host.open("m", {"db_type": "sqlite", "database": "main"})

        async def do(operation: str, **params: Any) -> Any:
            return json.loads(json.dumps(await host.operate("m", connection, operation, params)))

        await do("execute", query="CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)", params=[])
        assert await do("execute", query="INSERT INTO t (name, data) VALUES (?, x'0102')", params=["a"]) == 1
        row = {"data": {"id": 1, "name": "a", "data": "AQI="}}
        assert await do("query", query="SELECT * FROM t", params=[]) == [row]
        assert await do("query_one", query="SELECT * FROM t") == row
        assert await do("query_one", query="SELECT * FROM t", binary=True) == {**row, "binary": ["data"]}
        assert await do("query_one", query="SELECT * FROM t WHERE id = 9") is None
        transaction = await do("begin_transaction")
        assert isinstance(transaction, str)
        insert = {"query": "INSERT INTO t (name) VALUES ('b')", "params": []}
        assert await do("transaction_execute", transaction_id=transaction, **insert) == 1
        assert len(await do("transaction_query", transaction_id=transaction, query="SELECT * FROM t")) == 2
        assert await do("transaction_query_one", transaction_id=transaction, query="SELECT 1 AS a") == {
            "data": {"a": 1}
        }
        assert await do("transaction_commit", transaction_id=transaction) is None
        with pytest.raises(TransactionError, match="was committed"):
            await do("transaction_commit", transaction_id=transaction)
        other = await do("begin_transaction")
        assert await do("transaction_rollback", transaction_id=other) is None
        assert await do("ping") is None
        assert await do("close") is None
        with pytest.raises(DatabaseConnectionError, match="no such connection"):
            await do("ping")


def test_every_operation_of_the_wire_is_served() -> None:
    from sdk.module_runtime.orchestrator.hosts import cache, database

    cases = json.loads(vectors("module-runtime", "15_service_operations.json").read_text())["cases"]
    for service, served in (("Database", {*database._OPERATIONS, "close"}), ("Cache", {*cache._OPERATIONS, "close"})):
        wanted = {case["operation"] for case in cases if case["service_type"] == service}
        assert wanted
        assert wanted <= set(served)


async def test_a_module_reaches_what_its_stack_entry_names_and_nothing_else(tmp_path: Path) -> None:
    scope = DatabaseScope(db_type="sqlite", database=str(tmp_path / "a.db"))
    host = DatabaseHost({"m": {"main": scope}, "other": {"its-own": scope}}, {})
    mine = await host.open("m", None)
    for module, wanted in (
        ("m", {"database": "its-own"}), ("m", {"database": str(tmp_path / "a.db")}), ("m", {"database": None}),
        ("m", {}), ("m", {"database": 5}), ("other", None), ("stranger", {"database": "main"}),
    ):  # fmt: skip
        with pytest.raises(DatabaseConfigurationError, match="no database of that name"):
            await host.open(module, wanted)
    with pytest.raises(DatabaseConfigurationError, match="of type sqlite"):
        await host.open("m", {"database": "main", "db_type": "postgres"})
    for module in ("other", "stranger", ""):
        for operation in ("ping", "close", "execute"):
            with pytest.raises(DatabaseConnectionError, match="no such connection"):
                await host.operate(module, mine, operation, {"query": "SELECT 1"})
    await host.operate("m", mine, "ping", {})
    await host.close()


async def test_a_transaction_is_worth_nothing_on_another_connection(tmp_path: Path) -> None:
    async with hosted(DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))) as (host, _):
        one, two = await host.open("m", None), await host.open("m", None)
        transaction = await host.operate("m", one, "begin_transaction", {})
        for guess in (transaction, "", None, 7, "x" * 1000):
            with pytest.raises(TransactionError):
                await host.operate("m", two, "transaction_commit", {"transaction_id": guess})
        await host.operate("m", one, "transaction_commit", {"transaction_id": transaction})


@pytest.mark.parametrize(
    "params",
    [
        None, [], "SELECT 1", {}, {"query": 1}, {"query": "SELECT ?", "params": {}},
        {"query": "SELECT ?", "params": None}, {"query": "SELECT ?", "params": [{"a": 1}]},
        {"query": "SELECT ?", "params": [{"base64": "***"}]}, {"query": "SELECT ?", "params": [{"base64": 1}]},
        {"query": "SELECT ?", "params": [[1]]}, {"query": "SELECT ?", "params": [2**80]},
        {"query": "SELECT ?", "params": []}, {"query": "\x00"}, {"query": "SELECT 9e999 AS a"},
    ],
)  # fmt: skip
async def test_parameters_that_are_none_are_refused_and_harm_nothing(tmp_path: Path, params: Any) -> None:
    async with hosted(DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))) as (host, _):
        connection = await host.open("m", None)
        for operation in ("query", "query_one", "no_such_operation"):
            with pytest.raises(QueryError):
                await host.operate("m", connection, operation, params)
        await host.operate("m", connection, "ping", {})


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False), st.binary(max_size=300),
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_values_through_the_proxy_are_those_of_a_direct_database(tmp_path: Path, values: list[Any]) -> None:
    async def compare() -> None:
        config = DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))
        query = "SELECT " + ", ".join(f"? AS c{number}" for number in range(len(values)))
        direct = await open_database(config)
        async with hosted(config) as (_, link):
            proxied = await open_proxied(link, MAIN)
            assert await proxied.query(query, values) == await direct.query(query, values)
            assert await proxied.query_one(query, values) == await direct.query_one(query, values)
            await proxied.close()
        await direct.close()

    asyncio.run(compare())


async def test_bytes_are_intact_with_an_orchestrator_of_the_rust_wire_alone(tmp_path: Path) -> None:
    """There bytes go out as base64 text, and come back so: the row's accessor reads them all the same."""
    async with hosted(DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db")), extensions=()) as (_, link):
        proxied = await open_proxied(link, MAIN)
        row = await proxied.query_one("SELECT x'00ff' AS a, ? AS b, 'no base64!' AS c", [b"\x00\xff"])
        assert row is not None
        assert row.get_bytes("a") == row.get_bytes("b") == b"\x00\xff"
        with pytest.raises(QueryError, match="Column 'c' is not bytes"):
            row.get_bytes("c")
        await proxied.close()


async def test_a_transaction_left_open_is_undone_and_says_so(config: DatabaseConfig) -> None:
    async with hosted(config, idle_seconds=0.2, transactions=2) as (host, link):
        proxied = await open_proxied(link, named(config))
        await proxied.execute("CREATE TABLE t (name VARCHAR(20))")
        transaction = await proxied.begin_transaction()
        await transaction.execute("INSERT INTO t VALUES ('lost')")
        await until(lambda: host.open_transactions("m") == 0)
        with pytest.raises(TransactionError, match="left open too long"):
            await transaction.commit()
        assert await names(config) == []
        await proxied.close()


async def test_a_transaction_that_is_used_lasts_but_not_for_ever(tmp_path: Path) -> None:
    config = DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))
    async with hosted(config, idle_seconds=0.3, transaction_seconds=1.0) as (_, link):
        proxied = await open_proxied(link, MAIN)
        transaction = await proxied.begin_transaction()
        begun, ended = asyncio.get_running_loop().time(), 0.0
        with pytest.raises(TransactionError, match="left open too long"):  # noqa: PT012
            while True:
                await transaction.query("SELECT 1")
                ended = asyncio.get_running_loop().time()
                await asyncio.sleep(0.02)
        assert 0.5 < ended - begun < 5
        await proxied.close()


async def test_a_transaction_in_use_is_not_idle_though_another_of_its_statements_has_ended(tmp_path: Path) -> None:
    database = await open_database(DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db")))
    try:
        limits = DatabaseLimits(idle_seconds=0.05, transaction_seconds=0.6)
        transactions = Transactions(limits, Slots(1, patience=0.001))
        lease = await transactions.begin(database)
        async with transactions.using(lease, last=False):
            async with transactions.using(lease, last=False):
                pass
            await asyncio.sleep(0.2)
            assert transactions.open == 1
            await until(lambda: transactions.open == 0)  # in use or not, it does not last for ever
        await transactions.close()
        async with transactions.using(lease, last=True) as ended:
            with pytest.raises(TransactionError, match="left open too long"):
                await ended.commit()
        await transactions.begin(database)  # its slot is free again, once
        with pytest.raises(PoolExhausted):
            await transactions.begin(database)
        await transactions.close()
    finally:
        await database.close()


async def test_of_thousands_of_transactions_only_a_few_are_open(config: DatabaseConfig) -> None:
    impatient = config.model_copy(update={"pool": PoolConfig(max_connections=4, acquire_timeout_seconds=1)})
    if config.db_type == "sqlite":
        impatient = config.model_copy(update={"pool": PoolConfig(max_connections=1, acquire_timeout_seconds=1)})
    async with hosted(impatient, transactions=1, statement_seconds=5) as (host, link):
        proxied = await open_proxied(link, named(config))
        found = await asyncio.gather(*(proxied.begin_transaction() for _ in range(2000)), return_exceptions=True)
        assert sum(isinstance(each, PoolExhausted) for each in found) == 1999
        assert host.open_transactions("m") == 1
        await proxied.close()
        assert host.open_transactions("m") == 0


async def test_when_the_module_goes_its_transactions_are_undone_and_its_statements_stopped(
    config: DatabaseConfig,
) -> None:
    async with hosted(config, transactions=3) as (host, link):
        proxied = await open_proxied(link, named(config))
        await proxied.execute("CREATE TABLE t (name VARCHAR(20))")
        await proxied.execute("INSERT INTO t VALUES ('kept')")
        transaction = await proxied.begin_transaction()
        await transaction.execute("INSERT INTO t VALUES ('lost')")
        await host.release("m")
        assert await names(config) == ["kept"]
        with pytest.raises((DatabaseConnectionError, TransactionError)):
            await transaction.commit()
        again = await open_proxied(link, named(config))
        await again.execute("INSERT INTO t VALUES ('again')")
        assert await names(config) == ["again", "kept"]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_whose_answer_is_lost_is_unknown_and_never_sent_again(
    config: DatabaseConfig, committed: bool
) -> None:
    async with hosted(config, transactions=3) as (_, link):
        proxied = await open_proxied(link, named(config))
        await proxied.execute("CREATE TABLE t (name VARCHAR(20))")
        transaction = await proxied.begin_transaction()
        await transaction.execute("INSERT INTO t VALUES ('x')")
        if committed:
            link.deaf = frozenset({"transaction_commit"})
        else:
            await link.cut()
        with pytest.raises(CommitUnknown, match="the link broke during COMMIT"):
            await transaction.commit()
        for again in (transaction.commit, transaction.rollback):
            with pytest.raises(TransactionError, match="unknown end"):
                await again()
        await transaction.abandon()
        assert link.asked.count("transaction_commit") == 1
        assert link.asked.count("transaction_rollback") == 0
        assert await names(config) == (["x"] if committed else [])


async def test_a_write_alone_whose_answer_is_lost_is_unknown_and_a_read_may_be_asked_again(tmp_path: Path) -> None:
    async with hosted(DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db"))) as (_, link):
        proxied = await open_proxied(link, MAIN)
        await proxied.execute("CREATE TABLE t (name TEXT)")
        link.deaf = frozenset({"execute", "query"})
        with pytest.raises(CommitUnknown, match="may or may not have been done"):
            await proxied.execute("INSERT INTO t VALUES ('x')")
        with pytest.raises(CommitUnknown):
            await proxied.query("INSERT INTO t VALUES ('y') RETURNING name")
        with pytest.raises(DatabaseConnectionError):
            await proxied.query("SELECT name FROM t")
        assert link.asked.count("execute") == 2
        link.deaf = frozenset()
        assert len(await proxied.query("SELECT name FROM t")) == 2
        await proxied.close()


async def test_limits_are_told_as_what_they_are_and_the_log_has_no_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosted(
        DatabaseConfig(db_type="sqlite", database=str(tmp_path / "a.db")), rows=10, bytes=2000, connections=2
    ) as (_, link):
        proxied = await open_proxied(link, MAIN)
        with pytest.raises(LimitExceeded, match="more than 10 rows"):
            await proxied.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i, 'hush' FROM n")
        with pytest.raises(LimitExceeded, match="larger than 2000 bytes"):
            await proxied.query_one("SELECT 'hush' AS a") and await proxied.query("SELECT hex(zeroblob(5000))")
        with pytest.raises(QueryError):
            await proxied.query("ATTACH DATABASE 'hush' AS a")
        second = await open_proxied(link, MAIN)
        with pytest.raises(DatabaseConnectionError, match="2 connections"):
            await open_proxied(link, MAIN)
        await second.close()
        await proxied.close()
    assert "hush" not in caplog.text
    assert "hush" not in str([record.__dict__ for record in caplog.records])


async def test_a_scope_whose_user_is_too_mighty_is_refused_unless_trusted() -> None:
    url = sa.make_url(server_url("postgresql"))
    mighty = DatabaseConfig(
        db_type="postgres", host=url.host, port=url.port, database=url.database or "", username=url.username,
        password=url.password,
    )  # fmt: skip
    async with hosted(mighty, trusted=False) as (_, link):
        with pytest.raises(DatabaseConfigurationError, match="more rights than a module's should"):
            await open_proxied(link, named(mighty))


def test_a_scope_never_holds_a_password_and_says_which_variable_is_missing() -> None:
    with pytest.raises(ValueError, match="password"):
        DatabaseScope(db_type="sqlite", database="a", password="hush")  # type: ignore[arg-type]
    source = DatabaseScope(db_type="sqlite", database="a", password_environment="DB").password_source({}, {"DB": "x"})
    assert source is not None
    with pytest.raises(ConfigurationError, match="password_environment names DB, which is not set"):
        source()
    with pytest.raises(ValueError, match="give one of"):
        DatabaseScope(db_type="sqlite", database="a", password_environment="A", password_secret="B")
    with pytest.raises(ValueError, match="smaller than pool"):
        scope_of(DatabaseConfig(db_type="postgres", database="a", pool=PoolConfig(max_connections=4)))


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_password_that_is_a_secret_is_followed_by_what_is_open_already(kind: str, tmp_path: Path) -> None:
    with module_database(kind, tmp_path) as config:
        members = config.model_dump(exclude={"password"})
        scope = DatabaseScope(
            **members, password_secret="DB", limits=DatabaseLimits(transactions=3, statement_seconds=1)
        )
        secrets: dict[str, str] = {}
        host = DatabaseHost({"m": {"main": scope}}, {}, secrets)
        try:
            link = HostLink("m", {"Database": host})
            with pytest.raises(DatabaseConnectionError, match="password_secret names DB, which is not set"):
                await open_proxied(link, named(config))
            assert config.password is not None
            secrets["DB"] = config.password
            proxied = await open_proxied(link, named(config))
            change_password(config, "another one")
            async with await proxied.begin_transaction():  # on the connection that is open already
                with pytest.raises(DatabaseConnectionError, match="cannot be opened"):
                    await proxied.ping()
                secrets["DB"] = "another one"
                with pytest.raises(LimitExceeded, match="after 1 s"):  # stopped by a connection of its own
                    await proxied.query({"postgres": "SELECT pg_sleep(20)", "mysql": "SELECT SLEEP(20)"}[kind])
                del secrets["DB"]
            await proxied.close()
        finally:
            await host.close()


def change_password(config: DatabaseConfig, password: str) -> None:
    engine = sa.create_engine(server_url({"postgres": "postgresql", "mysql": "mariadb"}[config.db_type]))
    change = {"postgres": "ALTER ROLE {} PASSWORD '{}'", "mysql": "ALTER USER '{}'@'%%' IDENTIFIED BY '{}'"}
    with engine.begin() as connection:
        connection.exec_driver_sql(change[config.db_type].format(config.username, password))
    engine.dispose()


async def test_an_answer_that_is_none_is_an_error_and_no_value() -> None:
    class Odd(HostLink):
        answer: Any = None

        async def open_service(self, *_: Any, **__: Any) -> str:
            return "c"

        async def operate(self, *_: Any, **__: Any) -> Any:
            return self.answer

    link = Odd("m", {})
    proxied = await open_proxied(link, MAIN)
    for answer, work in (
        ("3", ProxiedDatabase.execute), (-1, ProxiedDatabase.execute), (None, ProxiedDatabase.execute),
        (True, ProxiedDatabase.execute), (None, ProxiedDatabase.query), ([{"id": 1}], ProxiedDatabase.query),
        ({"id": 1}, ProxiedDatabase.query_one), ("x", ProxiedDatabase.query_one),
    ):  # fmt: skip
        link.answer = answer
        with pytest.raises(QueryError, match="the orchestrator answered"):
            await work(proxied, "SELECT 1")


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
