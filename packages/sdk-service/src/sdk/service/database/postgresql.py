"""PostgreSQL through psycopg 3."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.pool import NullPool

from sdk.core.errors import StorageError
from sdk.service.database.borrow import Borrower
from sdk.service.database.driver_errors import original, translate_postgresql
from sdk.service.database.json import json_options
from sdk.service.database.where import where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.pool import PoolProxiedConnection


class PostgresqlDriver:
    name = "postgresql"
    key = "postgresql"

    def __init__(self, url: sa.URL, *, schema: str | None, timeout: float, isolation: str, create: bool) -> None:
        self._where = where(url, 5432)
        self._engine = sa.create_engine(
            url,
            paramstyle="format",
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": 10,
                "application_name": "sdk",
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 60_000,
                "options": f"-c lock_timeout={int(timeout * 1000)} -c timezone=UTC",
            },
            **json_options(),
        )
        self._schema = schema
        self._lock = _lock_key(schema or "")
        self._begin = {
            True: f"BEGIN ISOLATION LEVEL {isolation.upper()}",
            False: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
        self._borrower = Borrower(url)
        if schema is not None:
            quoted = self._engine.dialect.identifier_preparer.quote(schema)
            sa.event.listen(
                self._engine, "connect", lambda dbapi, _: _run(dbapi, f"SET search_path TO {quoted}"), insert=True
            )
        self._check(schema, create)

    @property
    def dialect(self) -> sa.Dialect:
        return self._engine.dialect

    def connect(self) -> PoolProxiedConnection:
        return self._engine.raw_connection()

    def begin(self, cursor: Any, *, write: bool) -> None:
        cursor.execute(self._begin[write])

    def begin_migration(self, cursor: Any) -> None:
        """Read committed, so that what is read after the wait is what the winner wrote."""
        cursor.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (self._lock,))

    def end_migration(self, cursor: Any) -> None:
        """The lock went with the transaction."""

    def in_transaction(self, dbapi_connection: Any) -> bool:
        return bool(dbapi_connection.info.transaction_status == TransactionStatus.INTRANS)

    def commit(self, cursor: Any) -> None:
        cursor.execute("COMMIT")
        if cursor.statusmessage != "COMMIT":
            raise StorageError(f"{self._where} answered {cursor.statusmessage} to COMMIT")

    def disconnected(self, error: BaseException, dbapi_connection: Any) -> bool:
        error = original(error)
        return isinstance(error, psycopg.Error) and bool(dbapi_connection.closed or dbapi_connection.broken)

    def translate(self, error: BaseException) -> StorageError | None:
        return translate_postgresql(error, self._where)

    def insert_many(self, cursor: Any, sql: str, values: Sequence[Sequence[Any]]) -> list[int]:
        """Pipelined: one round trip, the keys in the order of the values."""
        cursor.executemany(sql, values, returning=True)
        keys = [int(cursor.fetchone()[0])]
        while cursor.nextset():
            keys.append(int(cursor.fetchone()[0]))
        return keys

    def borrow(self, dbapi_connection: Any) -> sa.Connection:
        return self._borrower.borrow(dbapi_connection)

    def _check(self, schema: str | None, create: bool) -> None:
        try:
            connection = self.connect()
        except (psycopg.Error, sa.exc.DBAPIError, OSError) as error:
            raise self.translate(error) or error from error
        try:
            if schema is not None and create:
                quoted = self._engine.dialect.identifier_preparer.quote(schema)
                _create_schema(connection.dbapi_connection, quoted)
        except psycopg.Error as error:
            raise self.translate(error) or error from error
        finally:
            connection.close()


def _create_schema(dbapi: Any, quoted: str) -> None:
    try:
        _run(dbapi, f"CREATE SCHEMA IF NOT EXISTS {quoted}")
    except psycopg.errors.UniqueViolation:  # somebody else made it in the same instant
        _run(dbapi, f"CREATE SCHEMA IF NOT EXISTS {quoted}")


def _run(dbapi: Any, sql: str) -> None:
    dbapi.autocommit = True
    with dbapi.cursor() as cursor:
        cursor.execute(sql)


def _lock_key(schema: str) -> int:
    return int.from_bytes(hashlib.sha256(f"sdk migrations {schema}".encode()).digest()[:8], "big", signed=True)
