"""SQLite: one writer thread with group commit, readers on connections of their own (WAL)."""

from __future__ import annotations

import random
import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from sdk.core.errors import StorageBusy, StorageError, StorageUnavailable
from sdk.service.database.borrow import Borrower
from sdk.service.database.driver_errors import translate_sqlite
from sdk.service.database.jobs import Figures, Outcome
from sdk.service.database.json import json_options
from sdk.service.database.sqlite_place import is_lost
from sdk.service.database.unit import Unit
from sdk.service.database.workers import Workers
from sdk.service.database.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.service.database.jobs import Job
    from sdk.service.database.sqlite_place import SqlitePlace

POLL: Final = (0.0005, 0.003)
"""Seconds between attempts to get a lock another process holds. SQLite's own waiting ends in naps of 100 ms, which lose
to a neighbour that commits without pause."""


class SqliteDriver:
    name = "sqlite"
    key = "sqlite"
    error = sqlite3.Error

    def __init__(self, where: str, url: str = "sqlite://") -> None:
        """``url`` names the dialect that its connections are of."""
        self._where = where
        self._borrower = Borrower(sa.make_url(url))
        self.dialect = sa.create_engine("sqlite://", **json_options()).dialect

    def translate(self, error: BaseException) -> StorageError | None:
        return translate_sqlite(error, self._where)

    def insert_many(self, cursor: Any, sql: str, values: Sequence[Sequence[Any]]) -> list[int]:
        """Row ids are one more than the largest in use, and nobody else writes: they are consecutive."""
        cursor.executemany(sql, values)
        (last,) = cursor.execute("SELECT last_insert_rowid()").fetchone()
        return list(range(last - len(values) + 1, last + 1))

    def borrow(self, dbapi_connection: Any) -> sa.Connection:
        return self._borrower.borrow(dbapi_connection)

    def check_foreign_keys(self, connection: sqlite3.Connection) -> None:
        broken = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
        if broken:
            rows = ", ".join(f"{table} row {row} (to {parent})" for table, row, parent, _ in broken)
            raise StorageError(f"rows refer to rows that do not exist: {rows}")


class _Reader:
    """A connection that runs read units, each in a snapshot of its own."""

    def __init__(self, driver: SqliteDriver, connect: Callable[[], sqlite3.Connection]) -> None:
        self._driver, self._connect = driver, connect
        self._connection = connect()

    def run(self, job: Job) -> Outcome:
        try:
            connection = self._begun()
        except sqlite3.Error as error:
            return Outcome(job, error=self._driver.translate(error) or error)
        unit = Unit(self._driver, connection)
        try:
            value = job.run(unit)
            if (broken := unit.finish()) is not None:
                raise broken
            return Outcome(job, value)
        except Exception as error:  # noqa: BLE001 - it goes to the caller
            unit.finish()
            return Outcome(job, error=self._driver.translate(error) or error)
        finally:
            connection.rollback()

    def _begun(self) -> sqlite3.Connection:
        try:
            self._connection.execute("BEGIN")
        except sqlite3.Error:
            if not is_lost(self._connection):
                raise
            self._connection = self._connect()
            self._connection.execute("BEGIN")
        return self._connection

    def close(self) -> None:
        self._connection.close()


def _query_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """A read on the one connection of a database in memory."""

    def read(unit: Unit, *args: Any) -> Any:
        unit.connection.exec_driver_sql("PRAGMA query_only=ON")
        try:
            return function(unit, *args)
        finally:
            unit.connection.exec_driver_sql("PRAGMA query_only=OFF")

    return read


class SqliteBackend:
    def __init__(self, place: SqlitePlace, *, read_only: bool, readers: int, timeout: float) -> None:
        self._place, self._timeout = place, timeout
        self.driver = SqliteDriver(place.where, place.url)
        self._writer: Writer | None = None
        self.figures = Figures(lambda: self._readers.waiting + (self._writer.waiting if self._writer else 0))
        if not read_only:
            self._writer = self._open_writer()
        self._readers = Workers(
            "sqlite-reader", partial(_Reader, self.driver, partial(self._connect, write=False)), readers
        )
        if read_only:
            self._connect(write=False).close()

    def read(self, job: Job) -> None:
        if self._place.has_one_connection:
            job.function = _query_only(job.function)
            self.write(job)
        else:
            self._readers.submit(job)

    def write(self, job: Job) -> None:
        if self._writer is None:
            raise StorageUnavailable(f"{self._place.where} was opened read-only")
        self._writer.submit(job)

    migrate = write

    @property
    def failure(self) -> BaseException | None:
        return None if self._writer is None else self._writer.failure

    def close(self) -> None:
        self._readers.close()
        if self._writer is not None:
            self._writer.close()

    def _open_writer(self) -> Writer:
        try:
            return Writer(self.driver, partial(self._connect, write=True), self._begin, self.figures)
        except sqlite3.Error as error:
            raise self.driver.translate(error) or error from error

    def _connect(self, *, write: bool) -> sqlite3.Connection:
        try:
            connection = self._place.connect(write=write)
        except sqlite3.Error as error:
            raise self.driver.translate(error) or error from error
        try:
            self._retrying(lambda: self._place.prepare(connection, write=write))
        except BaseException as error:
            connection.close()
            raise self.driver.translate(error) or error from error
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        try:
            self._retrying(lambda: connection.execute("BEGIN IMMEDIATE"))
        except sqlite3.Error as error:
            raise self.driver.translate(error) or error from error

    def _retrying(self, attempt: Callable[[], object]) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                attempt()
                return
            except sqlite3.OperationalError as error:
                if not isinstance(self.driver.translate(error), StorageBusy) or time.monotonic() >= deadline:
                    raise
            time.sleep(random.uniform(*POLL))
