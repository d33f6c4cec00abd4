"""A database reached by the module itself. The drivers block, so each operation runs in a thread of the pool.

An operation that has begun is finished before its caller's cancellation goes on: a connection is never given back
while a thread still uses it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

import sqlalchemy as sa

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.data.database.bounded import run_bounded
from sdk.module_runtime.data.database.engine import (
    BEGIN,
    MEMORY,
    connections,
    create_engine,
    query_error,
    said,
    transaction_is_open,
)
from sdk.module_runtime.data.database.errors import (
    CommitUnknown,
    DatabaseConfigurationError,
    DatabaseConnectionError,
    DatabaseError,
    LimitExceeded,
    PoolExhausted,
    QueryError,
    TransactionError,
)
from sdk.module_runtime.data.database.row import rows_of
from sdk.module_runtime.data.database.running import Running
from sdk.module_runtime.data.database.statement import only_reads, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.module_runtime.data.database.bounded import BoundedResult
    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.data.database.limits import StatementLimits
    from sdk.module_runtime.data.database.row import Row
    from sdk.module_runtime.data.database.session import Session

T = TypeVar("T")
Result: TypeAlias = "sa.CursorResult[Any] | BoundedResult"
_GRACE: Final = 2.0
"""Seconds that a statement which was stopped has to end."""
CLOSED: Final = "this database was closed; open it again"


async def open_direct(
    config: DatabaseConfig,
    limits: StatementLimits | None = None,
    *,
    password: Callable[[], str] | None = None,
) -> Database:
    """Connects once, so that a wrong address or password shows here (``DatabaseConnectionError``).

    ``password`` is asked for each new connection to a server, and stands for that of ``config``.
    """
    database = Database(config, limits, password)
    try:
        await database.ping()
    except BaseException:
        await database.close()
        raise
    return database


class Database:
    """Statements that commit by themselves, and transactions. Up to ``pool.max_connections`` at the same time.

    With ``limits`` each statement is held to them, and SQLite to its own file: see ``guard``.
    """

    def __init__(
        self,
        config: DatabaseConfig,
        limits: StatementLimits | None = None,
        password: Callable[[], str] | None = None,
    ) -> None:
        self.config, self.limits, self._password = config, limits, password
        self._engine = create_engine(config, limits, password)
        self._running: set[Running] = set()
        self._threads = ThreadPoolExecutor(connections(config), thread_name_prefix="module-database")
        self._free = asyncio.Semaphore(connections(config))
        self._open: set[Transaction] = set()
        self._sessions: set[Session] = set()
        self._unpooled: sa.Engine | None = None
        self._closed = False

    async def execute(self, query: str, params: Sequence[Any] = ()) -> int:
        """How many rows it inserted, deleted or matched for an update; 0 for other statements."""
        return await self._alone(query, params, affected)

    async def query(self, query: str, params: Sequence[Any] = ()) -> list[Row]:
        return await self._alone(query, params, all_rows)

    async def query_one(self, query: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row, if there is any."""
        return await self._alone(query, params, first_row)

    async def begin_transaction(self) -> Transaction:
        await self._acquire()
        try:
            running = Running()
            connection = await self._in_thread(lambda: self._begin(running), running)
        except BaseException:
            self._free.release()
            raise
        transaction = Transaction(self, connection)
        self._open.add(transaction)
        if self._closed:
            await transaction.abandon()
            raise DatabaseConnectionError(CLOSED)
        return transaction

    async def open_session(self) -> Session:
        """A connection of its own, among those that there may be; give it back with ``end``. It needs ``limits``."""
        from sdk.module_runtime.data.database.session import Session

        if self.config.database == MEMORY:
            raise DatabaseConfigurationError("a database in memory has one connection, which nobody can keep")
        if self._unpooled is None:
            self._unpooled = create_engine(self.config, self.limits, self._password, is_pooled=False)
        await self._acquire()
        try:
            connection = await self._in_thread(partial(self._connect, self._unpooled))
        except BaseException:
            self._free.release()
            raise
        session = Session(self, connection)
        self._sessions.add(session)
        if self._closed:
            await session.end(CLOSED)
            raise DatabaseConnectionError(CLOSED)
        return session

    async def ping(self) -> None:
        await self.query_one("SELECT 1 AS pong")

    async def close(self) -> None:
        """Rolls back open transactions and waits for statements under way. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self.limits is not None:
            for running in tuple(self._running):
                await asyncio.to_thread(running.stop)
        for transaction in tuple(self._open):
            await transaction.abandon()
        for session in tuple(self._sessions):
            await session.end("was closed with its database")
        for _ in range(connections(self.config)):
            await self._free.acquire()
        self._engine.dispose()
        self._threads.shutdown()
        self._free.release()  # wakes one who waits for a connection, and he the next

    async def _alone(self, query: str, params: Sequence[Any], read: Callable[[Result], T]) -> T:
        sql, values = prepare(self.config.db_type, query, params)
        await self._acquire()
        try:
            running = Running()
            return await self._in_thread(lambda: self._run_alone(sql, values, read, running), running)
        finally:
            self._free.release()

    def _run_alone(self, sql: str, values: tuple[Any, ...], read: Callable[[Result], T], running: Running) -> T:
        connection = self._connect()
        try:
            self._replace_if_gone(connection, running)
            with running.on(connection):
                return self._found_alone(connection, sql, values, read)
        finally:
            give_back(connection)

    def _found_alone(
        self, connection: sa.Connection, sql: str, values: tuple[Any, ...], read: Callable[[Result], T]
    ) -> T:
        try:
            found = run(connection, sql, values, read, self.limits)
        except DatabaseConnectionError as error:
            if only_reads(sql):
                raise
            raise CommitUnknown(f"it may or may not have been done: {error.reason}") from error
        if transaction_is_open(self.config.db_type, connection.connection.dbapi_connection):
            connection.invalidate()
            raise QueryError("the statement began a transaction, which was rolled back; use begin_transaction")
        return found

    def _begin(self, running: Running) -> sa.Connection:
        connection = self._connect()
        try:
            self._replace_if_gone(connection, running)
            with running.on(connection):
                run(connection, BEGIN[self.config.db_type], (), affected)
        except BaseException:
            give_back(connection)
            raise
        return connection

    def _connect(self, engine: sa.Engine | None = None) -> sa.Connection:
        try:
            return (engine or self._engine).connect()
        except sa.exc.TimeoutError as error:
            raise PoolExhausted(f"no connection became free: {error}") from error
        except (sa.exc.DBAPIError, OSError, ConfigurationError) as error:
            raise self._not_opened(error) from error

    def _not_opened(self, error: Exception) -> DatabaseConnectionError:
        return DatabaseConnectionError(
            f"{self.config.db_type} database {self.config.database!r} cannot be opened: {said(error)}"
        )

    def _replace_if_gone(self, connection: sa.Connection, running: Running) -> None:
        """As the pool does it without limits, but so that it can be stopped."""
        if self.limits is None or self.config.db_type == "sqlite":
            return
        driver_error = connection.dialect.loaded_dbapi.Error
        with running.on(connection):
            try:
                connection.dialect.do_ping(connection.connection.dbapi_connection)  # type: ignore[arg-type]
            except driver_error:
                connection.invalidate()
            try:
                connection.connection  # noqa: B018 - opens another if that one was gone
            except (sa.exc.DBAPIError, driver_error, OSError, ConfigurationError) as error:
                raise self._not_opened(error) from error

    def _let_go(self, session: Session) -> None:
        if session in self._sessions:
            self._sessions.discard(session)
            self._free.release()

    async def _acquire(self) -> None:
        if self._closed:
            raise DatabaseConnectionError(CLOSED)
        seconds = self.config.pool.acquire_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise PoolExhausted(
                f"all {connections(self.config)} connections were in use for {seconds} s; end transactions sooner, "
                "or raise max_connections"
            ) from None
        if self._closed:
            self._free.release()
            raise DatabaseConnectionError(CLOSED)

    async def _in_thread(self, work: Callable[[], T], running: Running | None = None) -> T:
        """``running`` is what may be stopped when it takes too long, or when nobody waits for it any more."""
        done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        limits = self.limits if running is not None else None
        if limits is not None and running is not None:
            self._running.add(running)
        try:
            async with asyncio.timeout(None if limits is None else limits.seconds):
                return await asyncio.shield(done)
        except TimeoutError:
            if running is None or limits is None or done.done():
                raise
            await self._stop(done, running)
            return self._stopped(done, limits.seconds)
        except asyncio.CancelledError:
            if running is not None and limits is not None:
                await self._stop(done, running)
            await asyncio.wait([done])
            if not done.cancelled() and done.exception() is None and isinstance(found := done.result(), sa.Connection):
                found.invalidate()  # a transaction nobody will hold: the server rolls it back
                found.close()
            raise
        finally:
            if running is not None:
                self._running.discard(running)

    async def _stop(self, done: asyncio.Future[Any], running: Running) -> None:
        """Tell the server, and if that does not help, leave it."""
        await asyncio.to_thread(running.stop)
        if not done.done() and not (await asyncio.wait([done], timeout=_GRACE))[0]:
            await asyncio.to_thread(running.break_off)
        await asyncio.wait([done])

    def _stopped(self, done: asyncio.Future[T], seconds: float) -> T:
        """What a statement that was stopped had to say: it may have been quicker."""
        try:
            return done.result()
        except (LimitExceeded, CommitUnknown):
            raise
        except DatabaseError as error:
            raise LimitExceeded(f"the statement was stopped after {seconds:g} s") from error


class Transaction:
    """One transaction. Leaving ``async with`` without a commit rolls it back; so does any statement that fails."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        self._database, self._connection = database, connection
        self._turn = asyncio.Lock()
        self._ended: str | None = None

    async def execute(self, query: str, params: Sequence[Any] = ()) -> int:
        return await self._step(query, params, affected)

    async def query(self, query: str, params: Sequence[Any] = ()) -> list[Row]:
        return await self._step(query, params, all_rows)

    async def query_one(self, query: str, params: Sequence[Any] = ()) -> Row | None:
        return await self._step(query, params, first_row)

    async def commit(self) -> None:
        """``CommitUnknown`` if the connection broke meanwhile; never tried twice."""
        async with self._turn:
            self._still_open()
            self._ended = "has an unknown end: its commit was cancelled or broke"
            try:
                running = Running(may_cancel=False)
                await self._database._in_thread(lambda: self._commit(running), running)
                self._ended = "was committed"
            except TransactionError as error:
                if not isinstance(error, CommitUnknown):
                    self._ended = "was rolled back when its commit was refused"
                raise
            finally:
                self._release()

    async def rollback(self) -> None:
        async with self._turn:
            self._still_open()
            await self._undo("was rolled back")

    async def abandon(self, why: str = "was rolled back") -> None:
        """Rolls back if it is still open."""
        async with self._turn:
            if self._ended is None:
                await self._undo(why)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.abandon()

    async def _step(self, query: str, params: Sequence[Any], read: Callable[[Result], T]) -> T:
        sql, values = prepare(self._database.config.db_type, query, params)
        async with self._turn:
            self._still_open()
            try:
                running = Running()
                return await self._database._in_thread(lambda: self._run(sql, values, read, running), running)
            except BaseException as error:
                await self._undo(f"was rolled back when a statement failed ({error or type(error).__name__})")
                raise

    def _run(self, sql: str, values: tuple[Any, ...], read: Callable[[Result], T], running: Running) -> T:
        with running.on(self._connection):
            found = run(self._connection, sql, values, read, self._database.limits)
        if not self._is_open():
            raise TransactionError("the statement ended the transaction by itself; what came before may be committed")
        return found

    def _commit(self, running: Running) -> None:
        try:
            if not self._is_open():
                raise TransactionError("it is no longer open on the server; nothing was committed")
            with running.on(self._connection):
                self._connection.exec_driver_sql("COMMIT")
        except sa.exc.DBAPIError as error:
            broken = error.connection_invalidated
            self._connection.invalidate()
            if broken:
                raise CommitUnknown(f"the connection broke during COMMIT: {said(error)}") from error
            raise TransactionError(f"COMMIT was refused, and all is undone: {said(error)}") from error
        finally:
            give_back(self._connection)

    def _is_open(self) -> bool:
        return transaction_is_open(self._database.config.db_type, self._connection.connection.dbapi_connection)

    def _still_open(self) -> None:
        if self._ended is not None:
            raise TransactionError(f"this transaction {self._ended}; begin another")

    async def _undo(self, ended: str) -> None:
        self._ended = ended
        try:
            running = Running(may_cancel=False)
            await self._database._in_thread(lambda: self._roll_back(running), running)
        finally:
            self._release()

    def _roll_back(self, running: Running) -> None:
        try:
            if not self._connection.invalidated:
                with running.on(self._connection):
                    self._connection.exec_driver_sql("ROLLBACK")
        except sa.exc.DBAPIError:
            self._connection.invalidate()  # the server, or SQLite, rolls back when the connection is gone
        finally:
            give_back(self._connection)

    def _release(self) -> None:
        self._database._open.discard(self)
        self._database._free.release()


def run(
    connection: sa.Connection,
    sql: str,
    values: tuple[Any, ...],
    read: Callable[[Result], T],
    limits: StatementLimits | None = None,
) -> T:
    """One statement, and what is wanted of its result; driver errors in our words."""
    dialect = connection.dialect
    try:
        if limits is not None:
            return read(run_bounded(connection, sql, values, limits))
        with connection.exec_driver_sql(sql, values) as result:
            return read(result)
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseConnectionError(f"the connection broke: {said(error)}") from error
        raise query_error(error.orig or error) from error
    except (ValueError, OverflowError) as error:
        if isinstance(error, DatabaseError):
            raise
        raise QueryError(f"a value the database cannot hold: {error}") from error
    except sa.exc.InvalidRequestError as error:
        raise DatabaseConnectionError(f"the connection is gone: {error}") from error
    except dialect.loaded_dbapi.Error as error:  # of a bounded statement, which SQLAlchemy does not see
        if dialect.is_disconnect(error, connection.connection.driver_connection, None):
            connection.invalidate(error)
            raise DatabaseConnectionError(f"the connection broke: {said(error)}") from error
        raise query_error(error) from error


def give_back(connection: sa.Connection) -> None:
    """To the pool, which first rolls back. If it is broken by now, what was done on it is done all the same."""
    try:
        connection.close()
    except sa.exc.DBAPIError:
        if not connection.closed:
            connection.invalidate()
            connection.close()


def affected(result: Result) -> int:
    return max(result.rowcount, 0)


def all_rows(result: Result) -> list[Row]:
    return rows_of(list(result.keys()), [tuple(row) for row in result]) if result.returns_rows else []


def first_row(result: Result) -> Row | None:
    if not result.returns_rows or (row := result.fetchone()) is None:
        return None
    return rows_of(list(result.keys()), [tuple(row)])[0]
