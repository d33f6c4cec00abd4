"""One connection of a database for somebody who says himself when its transactions begin and end, as a driver's user.

Statements are the driver's: its placeholders, its values, its errors. What they may take is limited as elsewhere.
"""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sdk.module_runtime.data.database.bounded import run_bounded
from sdk.module_runtime.data.database.engine import said, transaction_is_open
from sdk.module_runtime.data.database.errors import (
    CommitUnknown,
    DatabaseConnectionError,
    DatabaseError,
    LimitExceeded,
)
from sdk.module_runtime.data.database.guard import guard_session
from sdk.module_runtime.data.database.running import Running
from sdk.module_runtime.data.sessions.values import JsonText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa

    from sdk.module_runtime.data.database.direct import Database

    Work: TypeAlias = Callable[[sa.Connection], "Answer"]
    State: TypeAlias = Literal["idle", "open", "failed", "gone"]
_ENDS: Final = re.compile(r"\s*(commit|end|rollback)\b(?!\s+to\b)", re.IGNORECASE)
_COMMITS: Final = re.compile(r"\s*(commit|end)\b", re.IGNORECASE)
LOCK_SECONDS: Final = 5.0
"""How long a statement waits for a SQLite file that is locked; who wants to wait longer asks again."""
_POLL: Final = (0.0005, 0.003)
_PYTHON: Final = (OverflowError, UnicodeError, ValueError, TypeError)
"""What drivers raise of values beside their own errors."""


class DriverFailed(DatabaseError):
    """What the driver raised is ``error``."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(said(error))


@dataclass(frozen=True, slots=True)
class Answer:
    """``description`` holds names and the driver's type codes; ``results`` are those of a statement that was run for
    many rows and returned some for each.
    """

    description: list[tuple[str, Any]] | None
    rows: list[Sequence[Any]]
    rowcount: int
    lastrowid: int | None
    status: str | None = None
    results: list[list[Sequence[Any]]] | None = None


class Session:
    """``database`` counts its connection among its own; it has limits."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        self._database, self._connection = database, connection
        self._turn = asyncio.Lock()
        self._ended: str | None = None
        self._state: State = "idle"
        self._prepare()

    @property
    def dialect(self) -> str:
        return "mysql" if self._connection.dialect.name == "mariadb" else self._connection.dialect.name

    @property
    def state(self) -> State:
        """After the last statement that is done. ``failed``: PostgreSQL wants a ROLLBACK. ``gone``: the connection, and
        with it what was not committed.
        """
        return "gone" if self._ended is not None else self._state

    async def execute(self, sql: str, values: Any) -> Answer:
        """``DriverFailed``; ``LimitExceeded``; ``CommitUnknown``; ``DatabaseConnectionError`` once it is gone."""
        limits = self._database.limits
        assert limits is not None
        return await self._run(sql, lambda connection: _execute(connection, sql, values, limits))

    async def execute_many(self, sql: str, rows: list[Any], *, returning: bool) -> Answer:
        """One statement for each of ``rows``, which PostgreSQL and MariaDB get all at once."""
        most = self._database.limits.bytes if self._database.limits is not None else 0
        return await self._run(sql, lambda connection: _execute_many(connection, sql, rows, returning, most))

    async def end(self, why: str) -> None:
        """The server, or SQLite, rolls back what is open. May be called again."""
        async with self._turn:
            if self._ended is None:
                self._ended = why
                await self._close()

    async def _run(self, sql: str, work: Work) -> Answer:
        async with self._turn:
            if self._ended is not None:
                raise DatabaseConnectionError(f"this session {self._ended}; open another")
            running = Running(may_cancel=_ENDS.match(sql) is None)
            try:
                return await self._database._in_thread(lambda: self._try(sql, work, running), running)
            finally:
                self._state = "gone" if self._connection.invalidated else self._look()
                if self._state == "gone":
                    self._ended = "has lost its connection"
                    await self._close()

    def _look(self) -> State:
        dbapi: Any = self._connection.connection.dbapi_connection
        if transaction_is_open(self._database.config.db_type, dbapi):
            return "open"
        if self.dialect == "postgresql":
            from psycopg.pq import TransactionStatus as Status

            states: dict[Status, State] = {Status.IDLE: "idle", Status.INERROR: "failed"}
            return states.get(dbapi.info.transaction_status, "gone")  # in the midst of a COPY it takes nothing more
        return "idle"

    def _try(self, sql: str, work: Work, running: Running) -> Answer:
        with running.on(self._connection):
            dialect = self._connection.dialect
            driver = self._connection.connection.dbapi_connection
            try:
                return work(self._connection)
            except (dialect.loaded_dbapi.Error, *_PYTHON) as error:
                if dialect.is_disconnect(error, driver, None):  # type: ignore[arg-type]
                    self._connection.invalidate(error)
                    if _COMMITS.match(sql):
                        raise CommitUnknown(f"the connection broke during COMMIT: {said(error)}") from error
                raise DriverFailed(error) from error

    async def _close(self) -> None:
        """Its settings are its own, so nobody else gets the connection."""

        def close() -> None:
            if not self._connection.invalidated:
                self._connection.invalidate()
            self._connection.close()

        try:
            await self._database._in_thread(close)
        finally:
            self._database._let_go(self)

    def _prepare(self) -> None:
        driver: Any = self._connection.connection.driver_connection
        if self.dialect == "sqlite":
            guard_session(driver)
        elif self.dialect == "postgresql":
            from psycopg.types.json import set_json_loads

            set_json_loads(_json_text, driver)


def _json_text(data: bytes | str) -> JsonText:
    return JsonText(data if isinstance(data, str) else bytes(data).decode())


def _execute(connection: sa.Connection, sql: str, values: Any, limits: Any) -> Answer:
    if connection.dialect.name == "sqlite":
        result = _when_unlocked(lambda: run_bounded(connection, sql, () if values is None else values, limits))
    else:
        result = run_bounded(connection, sql, values, limits)
    rows = list(result)
    cursor = result.cursor
    status = getattr(cursor, "ended_with", None)
    description = result.description
    columns = None if description is None else [(column[0], column[1]) for column in description]
    rowcount = result.rowcount if columns is None or connection.dialect.name != "sqlite" else cursor.rowcount
    return Answer(columns, rows, rowcount, getattr(cursor, "lastrowid", None), status)


def _execute_many(connection: sa.Connection, sql: str, rows: list[Any], returning: bool, most: int) -> Answer:
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    try:
        if connection.dialect.name != "postgresql":
            if returning:  # one INSERT, whose keys are counted from the first
                cursor.max_stmt_length = 1 << 31
            cursor.executemany(sql, rows)
            return Answer(None, [], cursor.rowcount, cursor.lastrowid)
        cursor.execute(
            ""
        )  # libpq would read the first result of a pipeline row by row if the last statement was read so
        cursor.executemany(sql, rows, returning=returning)
        results = list(_results(cursor, most)) if returning and rows else None
        description = None if results is None else [(column[0], column[1]) for column in cursor.description or ()]
        return Answer(description, [], cursor.rowcount, None, cursor.statusmessage, results)
    finally:
        cursor.close()


def _results(cursor: Any, most: int) -> Any:
    size = 0
    while True:
        rows = cursor.fetchall() if cursor.description is not None else []
        size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for row in rows for value in row)
        if size > most:
            raise LimitExceeded(f"the result is larger than {most} bytes; ask for less")
        yield rows
        if not cursor.nextset():
            return


def _when_unlocked(attempt: Callable[[], Any]) -> Any:
    """SQLite's own waiting ends in naps of 100 ms, which lose to a neighbour that commits without pause."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith("SQLITE_BUSY") or name == "SQLITE_BUSY_SNAPSHOT" or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(*_POLL))
