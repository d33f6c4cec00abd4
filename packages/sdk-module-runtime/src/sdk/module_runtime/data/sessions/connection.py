"""A driver's connection and cursor (PEP 249) whose other half is a session in the orchestrator.

A statement is sent once and never again. When the link breaks, or gives no answer in time, nobody knows what became of
it: the connection is of no more use then, as one whose server has gone. What was open in it is rolled back.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from sdk.module_runtime.data.database.errors import DatabaseConfigurationError, QueryError, error_of
from sdk.module_runtime.data.sessions.failures import error_from
from sdk.module_runtime.data.sessions.values import JsonText, pack, unpack
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ServiceOperationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sdk.module_runtime.data.sessions.lender import Lender

LARGEST: Final = 20 * 1024 * 1024
"""Characters of one packed request; the orchestrator reads no line over 33 MiB."""
LOST: Final = "SDK_SESSION_LOST"
"""What ``sqlite_errorname`` says where SQLite itself has said nothing."""
_CHANGES: Final = re.compile(r"\s*(insert|update|delete|replace)\b", re.IGNORECASE)


class LentCursor:
    """Rows are all there once ``execute`` returns."""

    arraysize = 1

    def __init__(self, connection: LentConnection) -> None:
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.statusmessage: str | None = None
        self._rows: list[Any] = []
        self._next = 0
        self._sets: list[list[Any]] = []

    def execute(self, sql: str, values: Any = None) -> Any:
        self._take(self.connection._ask(sql, "session_execute", values))
        return self

    def executemany(self, sql: str, rows: Sequence[Any], *, returning: bool = False) -> Any:
        """One message, however many rows. With ``returning`` each row has a result set: see ``nextset``."""
        self._take(self.connection._ask(sql, "session_execute_many", list(rows), returning))
        return self

    def fetchone(self) -> Any:
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return tuple(self._rows[self._next - 1])

    def fetchmany(self, size: int | None = None) -> list[Any]:
        first, self._next = self._next, self._next + (self.arraysize if size is None else size)
        return [tuple(row) for row in self._rows[first : self._next]]

    def fetchall(self) -> list[Any]:
        first, self._next = self._next, len(self._rows)
        return [tuple(row) for row in self._rows[first:]]

    def nextset(self) -> bool | None:
        if not self._sets:
            return None
        self._rows, self._next = self._sets.pop(0), 0
        return True

    def close(self) -> None:
        self._rows, self._sets = [], []

    def setinputsizes(self, sizes: Any) -> None:
        """Nothing to prepare."""

    def setoutputsize(self, size: Any, column: Any = None) -> None:
        """Nothing to prepare."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, answer: list[Any]) -> None:
        columns, self._rows, self.rowcount, self.lastrowid, self.statusmessage, sets = answer
        self.description = None if columns is None else [(*column, None, None, None, None, None) for column in columns]
        self._next, self._sets = 0, sets or []
        if self._sets:
            self._rows = self._sets.pop(0)


class LentConnection(ABC):
    """``json_loads`` reads, and ``json_dumps`` writes, JSON where the driver does so."""

    dialect: ClassVar[str]
    cursor_type: ClassVar[type[LentCursor]] = LentCursor

    def __init__(
        self,
        lender: Lender,
        name: str,
        *,
        json_loads: Callable[[str], Any] | None = None,
        json_dumps: Callable[[Any], str] | None = None,
    ) -> None:
        self._lender, self._name = lender, name
        self._loads, self._dumps = json_loads or json.loads, json_dumps or json.dumps
        self._state = "idle"
        self._closed = False
        try:
            self._id = lender.open(name)
        except ServiceOperationFailed as error:
            refused = error_of(error.reason)
            if isinstance(refused, DatabaseConfigurationError):
                raise refused from error
            raise self._unreachable(error.reason) from error
        except (LinkClosed, LinkTimeout) as error:
            raise self._unreachable(str(error)) from error

    @property
    def is_lost(self) -> bool:
        """Whether it is of no more use."""
        return self._closed or self._state == "gone"

    def cursor(self) -> Any:
        return self.cursor_type(self)

    def commit(self) -> None:
        """Raises the driver's ``OperationalError`` if nobody knows, or nothing was; the connection is lost then."""
        if self.is_lost:
            raise self._unreachable("its session is over, and what was not committed is undone")
        if self._state in ("open", "failed"):
            cursor = self.cursor()
            cursor.execute("COMMIT")
            if cursor.statusmessage == "ROLLBACK":
                raise self._error("InternalError", "a statement had failed, so COMMIT has rolled the transaction back")

    def rollback(self) -> None:
        """A session that cannot be told is rolled back all the same."""
        if self._state in ("open", "failed"):
            try:
                self.cursor().execute("ROLLBACK")
            except Exception:
                if not self.is_lost:
                    raise

    def close(self) -> None:
        """May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._state != "gone":
            self._state = "gone"
            self._lender.close(self._id)

    # inside

    @abstractmethod
    def _begin(self, sql: str) -> str | None:
        """What must come before ``sql`` where no transaction is open."""

    def _known(self, value: Any) -> Any:
        """A value of the driver's own types as one that is carried."""
        return value

    def _json(self, value: JsonText) -> Any:
        return self._loads(value.text)

    def _ask(self, sql: str, operation: str, *rest: Any) -> list[Any]:
        if self._state == "idle" and (begin := self._begin(sql)) is not None:
            self._send("session_execute", [begin, None])
        return self._send(operation, [sql, *rest])

    def _send(self, operation: str, request: list[Any]) -> list[Any]:
        if self.is_lost:
            raise self._unreachable("its session is over")
        try:
            packed = pack(request, self._known)
        except QueryError as error:
            raise self._error("ProgrammingError", error.reason) from error
        if len(packed) > LARGEST:
            raise self._error("NotSupportedError", f"a statement and its values take more than {LARGEST} bytes")
        try:
            result = self._lender.operate(self._id, operation, {"packed": packed})
            answer = unpack(result["packed"], self._json)
        except ServiceOperationFailed as error:
            self._lose()
            raise self._unreachable(error.reason) from error
        except (LinkClosed, LinkTimeout) as error:
            self._lose()
            raise self._unreachable(f"it may or may not have been done: {error}") from error
        except BaseException:
            self._lose()  # an answer that nobody took would be taken for the next one's
            raise
        return self._answer(answer)

    def _answer(self, answer: dict[str, Any]) -> list[Any]:
        self._state = answer["state"]
        if self._state == "gone":
            self._lose()
        if "failure" in answer:
            raise error_from(self.dialect, answer["failure"])
        if "refused" in answer:
            raise self._error("NotSupportedError", answer["refused"])
        found: list[Any] = answer["answer"]
        return found

    def _lose(self) -> None:
        self._state = "gone"
        self._lender.leave(self._id)

    def _unreachable(self, reason: str) -> Exception:
        return self._error("OperationalError", reason)

    def _error(self, kind: str, text: str) -> Exception:
        return error_from(self.dialect, {"class": kind, "args": [text]})


class SqliteConnection(LentConnection):
    """As of ``sqlite3``, which begins a transaction only before a statement that changes rows."""

    dialect = "sqlite"
    isolation_level: str | None = ""

    @property
    def in_transaction(self) -> bool:
        return self._state == "open"

    @property
    def total_changes(self) -> int:
        return int(self.execute("SELECT total_changes()").fetchone()[0])

    def execute(self, sql: str, values: Any = ()) -> Any:
        return self.cursor().execute(sql, values)

    def _begin(self, sql: str) -> str | None:
        wanted = self.isolation_level is not None and _CHANGES.match(sql) is not None
        return f"BEGIN {self.isolation_level}" if wanted else None

    def _unreachable(self, reason: str) -> Exception:
        return error_from("sqlite", {"class": "OperationalError", "args": [reason], "sqlite": [LOST, 0]})


class _Info:
    def __init__(self, connection: PostgresqlConnection) -> None:
        self._connection = connection

    @property
    def transaction_status(self) -> Any:
        from psycopg.pq import TransactionStatus

        known = {"idle": TransactionStatus.IDLE, "open": TransactionStatus.INTRANS, "failed": TransactionStatus.INERROR}
        return known.get(self._connection._state, TransactionStatus.UNKNOWN)


class PostgresqlConnection(LentConnection):
    """As of ``psycopg``."""

    dialect = "postgresql"
    autocommit = False
    isolation_level: Any = None
    read_only: bool | None = None

    @property
    def closed(self) -> bool:
        return self.is_lost

    @property
    def broken(self) -> bool:
        return self._state == "gone" and not self._closed

    @property
    def info(self) -> _Info:
        return _Info(self)

    def add_notice_handler(self, handler: Any) -> None:
        """Notices stay with the orchestrator."""

    def _begin(self, sql: str) -> str | None:
        if self.autocommit:
            return None
        level = "" if self.isolation_level is None else f" ISOLATION LEVEL {self.isolation_level.name}"
        access = {None: "", True: " READ ONLY", False: " READ WRITE"}[self.read_only]
        return f"BEGIN{level}{access}".replace("_", " ")

    def _known(self, value: Any) -> Any:
        from psycopg import Binary
        from psycopg.types.json import Json, Jsonb

        if isinstance(value, Binary):
            return value.obj
        if isinstance(value, (Json, Jsonb)):
            text = (value.dumps or self._dumps)(value.obj)
            return JsonText(text if isinstance(text, str) else text.decode(), isinstance(value, Jsonb))
        return value


class MysqlCursor(LentCursor):
    max_stmt_length = 1_024_000

    def execute(self, sql: str, values: Any = None) -> int:
        super().execute(sql, values)
        return self.rowcount

    def executemany(self, sql: str, rows: Sequence[Any], *, returning: bool = False) -> int:
        """``max_stmt_length`` over that of the driver: as one statement, whose keys follow one another."""
        super().executemany(sql, rows, returning=self.max_stmt_length > MysqlCursor.max_stmt_length)
        return self.rowcount


class MysqlConnection(LentConnection):
    """As of ``pymysql``."""

    dialect = "mysql"
    cursor_type = MysqlCursor
    _autocommit = False

    @property
    def open(self) -> bool:
        return not self.is_lost

    @property
    def server_status(self) -> int:
        from pymysql.constants import SERVER_STATUS

        return int(SERVER_STATUS.SERVER_STATUS_IN_TRANS) if self._state == "open" else 0

    def autocommit(self, value: bool) -> None:
        self._autocommit = value

    def get_autocommit(self) -> bool:
        return self._autocommit

    def character_set_name(self) -> str:
        return "utf8mb4"

    def ping(self, reconnect: bool = False) -> None:
        self.cursor().execute("SELECT 1")

    def _begin(self, sql: str) -> str | None:
        return None if self._autocommit else "START TRANSACTION"

    def _error(self, kind: str, text: str) -> Exception:
        number = 2013 if kind == "OperationalError" else 0
        return error_from("mysql", {"class": kind, "args": [number, text]})
