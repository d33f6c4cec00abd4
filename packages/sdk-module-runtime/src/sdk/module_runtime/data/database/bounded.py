"""Statements whose results are read row by row, never more of them than is allowed, and which can be stopped.

The drivers' usual cursors hold a whole result in memory before the first row can be looked at; these do not. One row
has to fit all the same: PostgreSQL sends up to 1 GB of it, MariaDB ``max_allowed_packet``, SQLite what is set here.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.database.errors import LimitExceeded
from sdk.module_runtime.data.database.statement import writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import sqlalchemy as sa

    from sdk.module_runtime.data.database.limits import StatementLimits

_CANCEL_TIMEOUT: Final = 2.0
_FIXED: Final = 8
PASSWORD: Final = "sdk-password"
"""Where a connection's ``info`` has the function that tells the password of now."""


class BoundedResult:
    """What of ``sqlalchemy.CursorResult`` is used here. ``stop`` makes the connection ready for the next statement."""

    def __init__(
        self,
        rows: Iterator[Sequence[Any]],
        cursor: Any,
        affected: Callable[[], int],
        limits: StatementLimits,
        stop: Callable[[], None],
        *,
        is_lazy: bool = False,
    ) -> None:
        self._rows, self.cursor, self._affected = rows, cursor, affected
        self._limits, self._stop, self._is_lazy = limits, stop, is_lazy
        self.description: Sequence[Sequence[Any]] | None = cursor.description
        self._read = 0

    @property
    def returns_rows(self) -> bool:
        return self.description is not None

    def keys(self) -> list[str]:
        return [column[0] for column in self.description or ()]

    def __iter__(self) -> Iterator[Sequence[Any]]:
        size = 0
        for row in self._rows:
            self._read += 1
            size += sum(len(value) if isinstance(value, (str, bytes)) else _FIXED for value in row)
            if self._read > self._limits.rows:
                self._refuse(f"the result has more than {self._limits.rows} rows; ask for fewer with LIMIT")
            if size > self._limits.bytes:
                self._refuse(f"the result is larger than {self._limits.bytes} bytes; ask for less")
            yield row

    def fetchone(self) -> Sequence[Any] | None:
        """The rest is thrown away: to stop a statement half-way could undo it, or its transaction. Not on SQLite."""
        first = next(self._rows, None)
        if self._is_lazy:
            self._stop()
            return first
        for _ in self._rows:
            self._read += 1
        return first

    @property
    def rowcount(self) -> int:
        for _ in self._rows:
            self._read += 1
        return max(self._affected(), 0)

    def _refuse(self, reason: str) -> None:
        self._stop()
        raise LimitExceeded(reason)


def run_bounded(connection: sa.Connection, sql: str, values: Any, limits: StatementLimits) -> BoundedResult:
    """Begins the statement. Driver errors are SQLAlchemy's, as from ``exec_driver_sql``."""
    begin = {"sqlite": _sqlite, "postgresql": _postgres, "mysql": _mysql, "mariadb": _mysql}[connection.dialect.name]
    return begin(connection, sql, values, limits, writes(sql))


def _sqlite(
    connection: sa.Connection, sql: str, values: Any, limits: StatementLimits, may_write: bool
) -> BoundedResult:
    cursor: Any = connection.connection.cursor()
    cursor.execute(sql, values)
    # a write has been done whole by the time its first row comes
    return BoundedResult(iter(cursor), cursor, lambda: cursor.rowcount, limits, cursor.close, is_lazy=True)


def _postgres(
    connection: sa.Connection, sql: str, values: Any, limits: StatementLimits, may_write: bool
) -> BoundedResult:
    from sdk.module_runtime.data.database.psycopg_cursor import CountingCursor

    cursor = CountingCursor(connection.connection.driver_connection)  # type: ignore[arg-type]
    stream = cursor.stream(sql, values)
    first = next(stream, None)  # until then nothing is known of the result

    def rows() -> Iterator[Sequence[Any]]:
        if first is not None:
            yield first
            yield from stream

    def stop() -> None:
        if may_write:
            for _ in stream:
                """Let it end: a write that is stopped while its rows are sent is undone."""
        stream.close()  # type: ignore[attr-defined]

    return BoundedResult(rows(), cursor, lambda: cursor.affected, limits, stop)


def _mysql(connection: sa.Connection, sql: str, values: Any, limits: StatementLimits, may_write: bool) -> BoundedResult:
    from pymysql.cursors import SSCursor

    cursor = connection.connection.driver_connection.cursor(SSCursor)  # type: ignore[union-attr]
    cursor.execute(sql, values)
    if cursor.description is None:
        affected = cursor.rowcount
        cursor.close()
        return BoundedResult(iter(()), cursor, lambda: affected, limits, cursor.close)
    result: BoundedResult

    def stop() -> None:
        if may_write:
            _drain_mysql(cursor)
        else:
            # rows on their way already take longer to read than to connect anew, and the driver reads them when closed
            cursor._result.unbuffered_active = False
            connection.invalidate()

    result = BoundedResult(iter(cursor.fetchone, None), cursor, lambda: result._read, limits, stop)
    return result


def _drain_mysql(cursor: Any) -> None:
    """Read what is on its way, so that the connection serves again; a cancelled one ends with an error."""
    from pymysql.err import InternalError, OperationalError

    try:
        while cursor.fetchone() is not None:
            """Rows that nobody will see."""
    except (OperationalError, InternalError):
        """It was stopped."""
    cursor.close()


def cancel(connection: sa.Connection) -> None:
    """Stop the statement that runs on the connection in another thread. The connection stays."""
    driver: Any = connection.connection.driver_connection
    name = connection.dialect.name
    if name == "sqlite":
        driver.interrupt()
    elif name == "postgresql":
        driver.cancel_safe(timeout=_CANCEL_TIMEOUT)
    else:
        arguments, options = connection.dialect.create_connect_args(connection.engine.url)
        seconds, password = int(_CANCEL_TIMEOUT), connection.info.get(PASSWORD)
        if password is not None:
            options["password"] = password()
        other: Any = connection.dialect.connect(
            *arguments, **options, connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds
        )
        try:
            other.cursor().execute(f"KILL QUERY {driver.thread_id()}")
        finally:
            other.close()


def break_off(connection: sa.Connection) -> None:
    """End the connection under a thread that waits for a server which answers nothing, not even to a cancel.

    The thread's read ends with an error. SQLite has no server, and needs none of this.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return
    number = driver.fileno() if connection.dialect.name == "postgresql" else driver._sock.fileno()
    with socket.socket(fileno=os.dup(number)) as same:
        same.shutdown(socket.SHUT_RDWR)
