"""MySQL and MariaDB through PyMySQL. DDL commits by itself there: a migration that fails half-way stays half-way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pymysql
import sqlalchemy as sa
from pymysql.constants import SERVER_STATUS
from sqlalchemy.pool import NullPool

from sdk.core.errors import StorageBusy
from sdk.service.database.borrow import Borrower
from sdk.service.database.driver_errors import original, translate_mysql
from sdk.service.database.json import json_options
from sdk.service.database.where import where

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.pool import PoolProxiedConnection

    from sdk.core.errors import StorageError

CHUNK: Final = 512 * 1024
"""Bytes of one multi-row INSERT, far below any max_allowed_packet."""

_GONE: Final = frozenset({0, 1053, 1077, 1927, 2006, 2013, 2055, 4031})
_LOCK: Final = "CONCAT('sdk-', LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 40))"
"""A lock belongs to the server, so its name tells the database, which a lent one's URL does not."""
_SESSION: Final = (
    "SET time_zone = '+00:00', innodb_lock_wait_timeout = {timeout}, lock_wait_timeout = {timeout}, "
    "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE'"
)


class MysqlDriver:
    name = "mysql"

    def __init__(self, url: sa.URL, *, schema: str | None, timeout: float, isolation: str) -> None:
        if schema is not None:
            url = url.set(database=schema)
        self._where = where(url, 3306)
        self._timeout = max(1, round(timeout))
        self._engine = sa.create_engine(
            url,
            paramstyle="format",
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": 10,
                "read_timeout": self._timeout + 60,
                "write_timeout": self._timeout + 60,
                "init_command": _SESSION.format(timeout=self._timeout),
            },
            **json_options(),
        )
        self._isolation = f"SET TRANSACTION ISOLATION LEVEL {isolation.upper()}"
        self._borrower = Borrower(url)
        self._check()
        self.key = "mariadb" if getattr(self._engine.dialect, "is_mariadb", False) else "mysql"

    @property
    def dialect(self) -> sa.Dialect:
        return self._engine.dialect

    def connect(self) -> PoolProxiedConnection:
        return self._engine.raw_connection()

    def begin(self, cursor: Any, *, write: bool) -> None:
        """The session's level is repeatable read, which gives readers a snapshot without locks."""
        if write:
            cursor.execute(self._isolation)
            cursor.execute("START TRANSACTION")
        else:
            cursor.execute("START TRANSACTION READ ONLY")

    def begin_migration(self, cursor: Any) -> None:
        cursor.execute(f"SELECT GET_LOCK({_LOCK}, %s)", (self._timeout,))
        if cursor.fetchone()[0] != 1:
            raise StorageBusy(f"{self._where} is being migrated by another process; try again")
        cursor.execute("START TRANSACTION")

    def end_migration(self, cursor: Any) -> None:
        cursor.execute(f"SELECT RELEASE_LOCK({_LOCK})", ())

    def in_transaction(self, dbapi_connection: Any) -> bool:
        return bool(dbapi_connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def commit(self, cursor: Any) -> None:
        cursor.execute("COMMIT")

    def disconnected(self, error: BaseException, dbapi_connection: Any) -> bool:
        error = original(error)
        if not isinstance(error, (pymysql.err.OperationalError, pymysql.err.InterfaceError, pymysql.err.InternalError)):
            return False
        return not dbapi_connection.open or (bool(error.args) and error.args[0] in _GONE)

    def translate(self, error: BaseException) -> StorageError | None:
        return translate_mysql(error, self._where)

    def insert_many(self, cursor: Any, sql: str, values: Sequence[Sequence[Any]]) -> list[int]:
        """An INSERT of a known number of rows gets consecutive keys, of which the server tells the first."""
        cursor.execute("SELECT @@auto_increment_increment")
        step = int(cursor.fetchone()[0])
        cursor.max_stmt_length = 1 << 31  # the driver must not split what is one chunk here
        keys: list[int] = []
        for chunk in _chunks(values):
            cursor.executemany(sql, chunk)
            first = int(cursor.lastrowid)
            keys.extend(range(first, first + step * len(chunk), step))
        return keys

    def borrow(self, dbapi_connection: Any) -> sa.Connection:
        return self._borrower.borrow(dbapi_connection)

    def _check(self) -> None:
        try:
            self.connect().close()
        except (pymysql.err.Error, sa.exc.DBAPIError, OSError) as error:
            raise self.translate(error) or error from error


def _chunks(values: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    chunk: list[Sequence[Any]] = []
    size = 0
    for row in values:
        length = sum(2 * len(each) + 16 if isinstance(each, (str, bytes)) else 32 for each in row)
        if chunk and size + length > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    yield chunk
