"""The orchestrator's Database service: the reference's operations on what a stack lends each module (spec 1.10).

What holds a module to its scope: on PostgreSQL and MariaDB the rights of the scope's own user, which are looked at
before it is used; on SQLite an authorizer in this process, which lets no statement out of the file. Rows, bytes, time,
connections and transactions are counted here.

Ours beyond the table, and ignored by Rust: a parameter ``{"base64": TEXT}`` is bytes, and a query with
``"binary": true`` is answered with rows that name their binary columns: ``{"data": {…}, "binary": ["photo"]}``. A
configuration with ``"session": true`` opens one connection of the driver instead: see ``hosts.sessions``.
"""

from __future__ import annotations

import asyncio
import math
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.database.direct import open_direct
from sdk.module_runtime.data.database.errors import (
    DatabaseConfigurationError,
    DatabaseConnectionError,
    DatabaseError,
    LimitExceeded,
    NotPermitted,
    PoolExhausted,
    QueryError,
)
from sdk.module_runtime.data.database.guard import check_rights
from sdk.module_runtime.data.database.limits import StatementLimits
from sdk.module_runtime.orchestrator.hosts.connections import Connections
from sdk.module_runtime.orchestrator.hosts.sessions import LentSession
from sdk.module_runtime.orchestrator.hosts.transactions import Slots, Transactions
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdk.module_runtime.data.database.direct import Database
    from sdk.module_runtime.data.database.row import Row
    from sdk.module_runtime.orchestrator.hosts.scopes import DatabaseScope

_log = get_logger(__name__)
_TOLD: Final = (NotPermitted, LimitExceeded, PoolExhausted, DatabaseConfigurationError, DatabaseConnectionError)
"""What the operator hears of. Texts of servers may repeat values, so the log has none of them."""


@dataclass(frozen=True, slots=True)
class _Lent:
    """What all connections of a module to one scope share."""

    database: Database
    slots: Slots


@dataclass(frozen=True, slots=True)
class _Connection:
    name: str
    database: Database
    transactions: Transactions

    @property
    def open(self) -> int:
        return self.transactions.open

    async def operate(self, operation: str, params: dict[str, Any]) -> Any:
        work = _OPERATIONS.get(operation)
        if work is None:
            raise QueryError(f"the Database service has no operation {operation[:64]!r}")
        return await work(self, params)

    async def close(self) -> None:
        await self.transactions.close()


class DatabaseHost:
    """A ``ServiceHost``. ``scopes`` by module and name; a module names one in ``database`` of its configuration."""

    def __init__(
        self,
        scopes: Mapping[str, Mapping[str, DatabaseScope]],
        environ: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """``secrets`` by name are looked at whenever a connection is opened, so they may change."""
        self._scopes = scopes
        self._environ = os.environ if environ is None else environ
        self._secrets = {} if secrets is None else secrets
        self._connections: Connections[_Connection | LentSession] = Connections(DatabaseConnectionError)
        self._lent: dict[tuple[str, str], _Lent] = {}
        self._opening: dict[tuple[str, str], asyncio.Lock] = {}

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        """Raises ``DatabaseError``. Where the database is and who reaches it is for the stack to say."""
        name, scope = self._scope_of(module_id, config)
        try:
            lent = await self._lend(module_id, name, scope)
            if config is not None and config.get("session") is True:
                session = LentSession(module_id, name, lent.database, scope.limits)
                return await self._open_session(module_id, session, scope)
            connection = _Connection(name, lent.database, Transactions(scope.limits, lent.slots))
            return self._connections.add(module_id, connection, scope.limits.connections)
        except DatabaseError as error:
            _log.warning("database_not_opened", module_id=module_id, scope=name, code=error.code)
            raise

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any:
        connection = self._connections.get(module_id, connection_id)
        if not isinstance(params, dict):
            raise QueryError("the parameters of an operation are an object")
        try:
            if operation == "close":
                await connection.close()
                self._connections.remove(connection_id)
                return None
            return await connection.operate(operation, params)
        except _TOLD as error:
            _log.warning(
                "database_refused", module_id=module_id, scope=connection.name, operation=operation, code=error.code
            )
            raise

    async def release(self, module_id: str) -> None:
        for connection_id, connection in self._connections.of(module_id).items():
            self._connections.remove(connection_id)
            await connection.close()
        for key in [key for key in self._lent if key[0] == module_id]:
            await self._lent.pop(key).database.close()

    async def close(self) -> None:
        for module_id in {key[0] for key in self._lent}:
            await self.release(module_id)

    def open_transactions(self, module_id: str) -> int:
        return sum(each.open for each in self._connections.of(module_id).values())

    def _scope_of(self, module_id: str, config: Mapping[str, Any] | None) -> tuple[str, DatabaseScope]:
        scopes = self._scopes.get(module_id, {})
        name = "main" if config is None else config.get("database")
        scope = scopes.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or scope is None:
            _log.warning("database_refused", module_id=module_id, operation="open", code="no such scope")
            raise DatabaseConfigurationError(
                "this module has no database of that name; its names stand in the stack under databases"
            )
        if config is not None and config.get("db_type", scope.db_type) != scope.db_type:
            raise DatabaseConfigurationError(f"this database is of type {scope.db_type}")
        return name, scope

    async def _open_session(self, module_id: str, session: LentSession, scope: DatabaseScope) -> str:
        connection_id = self._connections.add(module_id, session, scope.limits.connections)
        try:
            await session.begin()
        except BaseException:
            self._connections.remove(connection_id)
            raise
        return connection_id

    async def _lend(self, module_id: str, name: str, scope: DatabaseScope) -> _Lent:
        """Opened once for all connections of the module."""
        key = (module_id, name)
        async with self._opening.setdefault(key, asyncio.Lock()):
            if key not in self._lent:
                limits = scope.limits
                database = await open_direct(
                    scope.config(),
                    StatementLimits(limits.rows, limits.bytes, limits.statement_seconds),
                    password=scope.password_source(self._environ, self._secrets),
                )
                try:
                    if not scope.trusted:
                        await check_rights(database)
                except BaseException:
                    await database.close()
                    raise
                self._lent[key] = _Lent(database, Slots(limits.transactions, scope.pool.acquire_timeout_seconds))
            return self._lent[key]


async def _execute(connection: _Connection, params: dict[str, Any]) -> int:
    return await connection.database.execute(*_statement(params))


async def _query(connection: _Connection, params: dict[str, Any]) -> list[dict[str, Any]]:
    return _rows(await connection.database.query(*_statement(params)), params)


async def _query_one(connection: _Connection, params: dict[str, Any]) -> dict[str, Any] | None:
    row = await connection.database.query_one(*_statement(params))
    return None if row is None else _row(row, _named(params))


async def _begin(connection: _Connection, params: dict[str, Any]) -> str:
    return await connection.transactions.begin(connection.database)


async def _transaction_execute(connection: _Connection, params: dict[str, Any]) -> int:
    async with connection.transactions.using(params.get("transaction_id"), last=False) as transaction:
        return await transaction.execute(*_statement(params))


async def _transaction_query(connection: _Connection, params: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.transactions.using(params.get("transaction_id"), last=False) as transaction:
        return _rows(await transaction.query(*_statement(params)), params)


async def _transaction_query_one(connection: _Connection, params: dict[str, Any]) -> dict[str, Any] | None:
    async with connection.transactions.using(params.get("transaction_id"), last=False) as transaction:
        row = await transaction.query_one(*_statement(params))
        return None if row is None else _row(row, _named(params))


async def _commit(connection: _Connection, params: dict[str, Any]) -> None:
    async with connection.transactions.using(params.get("transaction_id"), last=True) as transaction:
        await transaction.commit()


async def _roll_back(connection: _Connection, params: dict[str, Any]) -> None:
    async with connection.transactions.using(params.get("transaction_id"), last=True) as transaction:
        await transaction.rollback()


async def _ping(connection: _Connection, params: dict[str, Any]) -> None:
    await connection.database.ping()


_OPERATIONS: Final[dict[str, Callable[[_Connection, dict[str, Any]], Awaitable[Any]]]] = {
    "execute": _execute,
    "query": _query,
    "query_one": _query_one,
    "begin_transaction": _begin,
    "transaction_execute": _transaction_execute,
    "transaction_query": _transaction_query,
    "transaction_query_one": _transaction_query_one,
    "transaction_commit": _commit,
    "transaction_rollback": _roll_back,
    "ping": _ping,
}


def _statement(params: dict[str, Any]) -> tuple[str, list[Any]]:
    query, given = params.get("query"), params.get("params", [])
    if not isinstance(query, str) or not isinstance(given, list):
        raise QueryError("query is text, and params a list")
    return query, [_parameter(each) for each in given]


def _parameter(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"base64"} and isinstance(value["base64"], str):
            try:
                return b64decode(value["base64"], validate=True)
            except ValueError:
                raise QueryError("a parameter given as base64 is none") from None
        raise QueryError("a parameter is null, true, false, a number, text, bytes as {base64}, or a list of these")
    return [_parameter(each) for each in value] if isinstance(value, list) else value


def _named(params: dict[str, Any]) -> bool:
    return params.get("binary") is True


def _rows(rows: list[Row], params: dict[str, Any]) -> list[dict[str, Any]]:
    named = _named(params)
    return [_row(row, named) for row in rows]


def _row(row: Row, named: bool) -> dict[str, Any]:
    data, binary = {}, []
    for column, value in row.values.items():
        if isinstance(value, (bytes, list)):
            if _has_bytes(value):
                binary.append(column)
            value = _wire(column, value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise QueryError(f"Column '{column}' is {value}, which JSON cannot hold; cast it to text in the query")
        data[column] = value
    return {"data": data, "binary": binary} if named and binary else {"data": data}


def _has_bytes(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_has_bytes, value)))


def _wire(column: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise QueryError(f"Column '{column}' has {value}, which JSON cannot hold; cast it to text in the query")
    return [_wire(column, each) for each in value] if isinstance(value, list) else value
