"""A database reached through the orchestrator, with the interface and the errors of one reached directly.

A statement is sent once and never again, so nothing is done twice. When the link breaks, or gives no answer in time,
a write and a commit end in ``CommitUnknown``; a transaction is rolled back by the orchestrator when the module is gone,
or when its lease is over.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, Self

from sdk.module_runtime.data.database.errors import (
    CommitUnknown,
    DatabaseConnectionError,
    DatabaseError,
    QueryError,
    TransactionError,
    error_of,
)
from sdk.module_runtime.data.database.row import ForeignRow, Row
from sdk.module_runtime.data.database.statement import checked, only_reads, placeholders
from sdk.module_runtime.data.remote import Background, Remote
from sdk.module_runtime.errors import LinkClosed, LinkTimeout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.ports import OrchestratorLink

TIMEOUT: Final = 60.0
"""Seconds for an answer: longer than the orchestrator lets a statement take, so that its own word comes first."""
_BROKEN: Final = (LinkClosed, LinkTimeout)


async def open_proxied(link: OrchestratorLink, config: DatabaseConfig, *, timeout: float = TIMEOUT) -> ProxiedDatabase:
    """``config.database`` names one that the stack lends this module; a password is not sent.

    ``DatabaseConfigurationError`` if there is none of that name, ``DatabaseConnectionError`` if it does not answer.
    """
    remote = Remote(link, "Database", error_of, timeout=timeout)
    try:
        await remote.open(config.model_dump(exclude={"password"}) | {"password": None})
    except _BROKEN as error:
        raise DatabaseConnectionError(f"the orchestrator did not open it: {error}") from error
    return ProxiedDatabase(remote, config)


class ProxiedDatabase:
    """As ``Database``. Statements that stand alone go side by side."""

    def __init__(self, remote: Remote, config: DatabaseConfig) -> None:
        self.config = config
        self._remote = remote
        self._background = Background()
        self._open: set[ProxiedTransaction] = set()

    async def execute(self, query: str, params: Sequence[Any] = ()) -> int:
        return _count(await self._alone("execute", query, params))

    async def query(self, query: str, params: Sequence[Any] = ()) -> list[Row]:
        return _rows(await self._alone("query", query, params), self._remote.is_ours)

    async def query_one(self, query: str, params: Sequence[Any] = ()) -> Row | None:
        return _row_or_none(await self._alone("query_one", query, params), self._remote.is_ours)

    async def begin_transaction(self) -> ProxiedTransaction:
        task = self._background.start(self._begin())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._undo_unwanted)
            raise

    async def ping(self) -> None:
        try:
            await self._remote.do("ping", {})
        except _BROKEN as error:
            raise DatabaseConnectionError(str(error)) from error

    async def close(self) -> None:
        """Rolls back open transactions. May be called again."""
        await self._background.finish()
        for transaction in tuple(self._open):
            await transaction.abandon()
        await self._remote.close()

    async def _begin(self) -> ProxiedTransaction:
        try:
            transaction_id = await self._remote.do("begin_transaction", {})
        except _BROKEN as error:
            raise DatabaseConnectionError(f"no transaction was begun: {error}") from error
        if not isinstance(transaction_id, str):
            raise DatabaseError("the orchestrator answered begin_transaction with no transaction id")
        transaction = ProxiedTransaction(self, transaction_id)
        self._open.add(transaction)
        return transaction

    def _undo_unwanted(self, task: asyncio.Task[ProxiedTransaction]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._background.start(task.result().abandon())

    async def _alone(self, operation: str, query: str, params: Sequence[Any]) -> Any:
        request = _request(self, query, params)
        try:
            return await self._remote.do(operation, request)
        except _BROKEN as error:
            if only_reads(query):
                raise DatabaseConnectionError(str(error)) from error
            raise CommitUnknown(f"it may or may not have been done: {error}") from error


class ProxiedTransaction:
    """As ``Transaction``. Leaving ``async with`` without a commit rolls it back; so does any statement that fails."""

    def __init__(self, database: ProxiedDatabase, transaction_id: str) -> None:
        self._database, self._id = database, transaction_id
        self._remote = database._remote
        self._turn = asyncio.Lock()
        self._ended: str | None = None

    async def execute(self, query: str, params: Sequence[Any] = ()) -> int:
        return _count(await self._step("transaction_execute", query, params))

    async def query(self, query: str, params: Sequence[Any] = ()) -> list[Row]:
        return _rows(await self._step("transaction_query", query, params), self._remote.is_ours)

    async def query_one(self, query: str, params: Sequence[Any] = ()) -> Row | None:
        return _row_or_none(await self._step("transaction_query_one", query, params), self._remote.is_ours)

    async def commit(self) -> None:
        """``CommitUnknown`` if the link breaks meanwhile; never sent twice."""
        async with self._turn:
            self._still_open()
            self._end("has an unknown end: its commit was cancelled or broke")
            try:
                await self._remote.do("transaction_commit", {"transaction_id": self._id})
                self._ended = "was committed"
            except _BROKEN as error:
                raise CommitUnknown(f"the link broke during COMMIT: {error}") from error
            except TransactionError as error:
                if not isinstance(error, CommitUnknown):
                    self._ended = "was rolled back when its commit was refused"
                raise

    async def rollback(self) -> None:
        async with self._turn:
            self._still_open()
            await self._undo("was rolled back")

    async def abandon(self) -> None:
        """Rolls back if it is still open."""
        async with self._turn:
            if self._ended is None:
                await self._undo("was rolled back")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.abandon()

    async def _step(self, operation: str, query: str, params: Sequence[Any]) -> Any:
        request = _request(self._database, query, params) | {"transaction_id": self._id}
        async with self._turn:
            self._still_open()
            try:
                return await self._remote.do(operation, request)
            except BaseException as error:
                self._end(f"was rolled back when a statement failed ({error or type(error).__name__})")
                self._database._background.start(self._tell_rollback())
                if isinstance(error, _BROKEN):
                    raise DatabaseConnectionError(f"the transaction is lost: {error}") from error
                raise

    async def _undo(self, ended: str) -> None:
        self._end(ended)
        await asyncio.shield(self._database._background.start(self._tell_rollback()))

    async def _tell_rollback(self) -> None:
        """One that cannot be told has the same end: the link's end, or the lease's, rolls back."""
        try:
            await self._remote.do("transaction_rollback", {"transaction_id": self._id})
        except (*_BROKEN, DatabaseError):
            return

    def _still_open(self) -> None:
        if self._ended is not None:
            raise TransactionError(f"this transaction {self._ended}; begin another")

    def _end(self, ended: str) -> None:
        self._ended = ended
        self._database._open.discard(self)


def _request(database: ProxiedDatabase, query: str, params: Sequence[Any]) -> dict[str, Any]:
    ours, db_type = database._remote.is_ours, database.config.db_type
    wanted = placeholders(db_type, query)
    if wanted != len(params):
        raise QueryError(f"the query has {wanted} placeholders but {len(params)} parameters were given")
    values = [_parameter(value, ours) for value in checked(db_type, params)]
    return {"query": query, "params": values, **({"binary": True} if ours else {})}


def _parameter(value: Any, ours: bool) -> Any:
    """Another orchestrator gets bytes as base64 text, as Rust sends them, and cannot tell them from text."""
    if isinstance(value, bytes):
        text = b64encode(value).decode()
        return {"base64": text} if ours else text
    return [_parameter(each, ours) for each in value] if isinstance(value, list) else value


def _count(result: Any) -> int:
    if not isinstance(result, int) or isinstance(result, bool) or result < 0:
        raise QueryError("the orchestrator answered execute with no number of rows")
    return result


def _rows(result: Any, ours: bool) -> list[Row]:
    if not isinstance(result, list):
        raise QueryError("the orchestrator answered a query with no rows")
    return [_row(each, ours) for each in result]


def _row_or_none(result: Any, ours: bool) -> Row | None:
    return None if result is None else _row(result, ours)


def _row(result: Any, ours: bool) -> Row:
    data = result.get("data") if isinstance(result, dict) else None
    if not isinstance(data, dict):
        raise QueryError("the orchestrator answered with a row that has no data")
    if not ours:
        return ForeignRow(data)
    for column in result.get("binary", ()):
        data[column] = _bytes(data[column])
    return Row(data)


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(each) for each in value]
    return b64decode(value) if isinstance(value, str) else value
