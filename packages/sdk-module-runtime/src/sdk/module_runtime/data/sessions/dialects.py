"""SQLAlchemy's dialects over lent connections; found by their URLs through entry points.

``lent+postgresql://NAME`` is the database NAME of the module's stack entry. What is asked of a connection beside, as
a time zone or a lock timeout, is said in SQL once it is open.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import QueuePool

from sdk.module_runtime.data.sessions.connection import MysqlConnection, PostgresqlConnection, SqliteConnection
from sdk.module_runtime.data.sessions.lender import lender_of_this_process

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool

_OPTION: Final = re.compile(r"-c\s*(\w+)=(\S+)")


class LentSqlite(SQLiteDialect_pysqlite):
    driver = "lent"
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: sa.URL) -> type[Pool]:
        return QueuePool

    def create_connect_args(self, url: sa.URL) -> Any:
        return [_name(url)], {}

    def connect(self, *arguments: Any, **_options: Any) -> Any:
        return SqliteConnection(lender_of_this_process(), *arguments)

    def on_connect(self) -> None:  # type: ignore[override]
        """SQLAlchemy's SQL functions are put in where the driver is."""

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return isinstance(e, self.loaded_dbapi.Error) and _is_lost(connection)


class LentPostgresql(PGDialect_psycopg):
    driver = "lent"
    supports_statement_cache = True
    supports_server_side_cursors = False
    default_paramstyle = "format"

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"use_native_hstore": False, **options})  # type: ignore[no-untyped-call]

    def create_connect_args(self, url: sa.URL) -> Any:
        return [_name(url)], {}

    def connect(self, *arguments: Any, options: str = "", **_more: Any) -> Any:
        connection = PostgresqlConnection(
            lender_of_this_process(),
            *arguments,
            json_loads=self._json_deserializer,
            json_dumps=self._json_serializer,
        )
        settings = _OPTION.findall(options)
        if settings:
            calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
            connection.autocommit = True
            connection.cursor().execute(f"SELECT {calls}", [text for pair in settings for text in pair])
            connection.autocommit = False
        return connection

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return isinstance(e, self.loaded_dbapi.Error) and _is_lost(connection)


class LentMysql(MySQLDialect_pymysql):
    driver = "lent"
    supports_statement_cache = True
    supports_server_side_cursors = False

    def create_connect_args(self, url: sa.URL, _translate_args: dict[str, Any] | None = None) -> Any:
        return [_name(url)], {"database": url.database}

    def connect(self, *arguments: Any, database: str | None = None, init_command: str = "", **_more: Any) -> Any:
        connection = MysqlConnection(lender_of_this_process(), *arguments)
        connection.autocommit(True)
        if database is not None:
            connection.cursor().execute(f"USE {self.identifier_preparer.quote_identifier(database)}")
        if init_command:
            connection.cursor().execute(init_command)
        connection.autocommit(False)
        return connection

    def on_connect(self) -> None:  # type: ignore[override]
        """The character set is the orchestrator's to choose: utf8mb4."""

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return isinstance(e, self.loaded_dbapi.Error) and (
            _is_lost(connection) or super().is_disconnect(e, connection, cursor)
        )


def _name(url: sa.URL) -> str:
    if not url.host or url.username or url.password or url.port or url.query:
        raise sa.exc.ArgumentError(
            f"{url.drivername} takes the name of a database that the stack lends, and nothing else: "
            f"{url.drivername}://NAME"
        )
    return url.host


def _is_lost(connection: Any) -> bool:
    lent = getattr(connection, "dbapi_connection", connection)
    return lent is None or bool(lent.is_lost)
