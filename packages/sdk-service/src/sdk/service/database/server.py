"""PostgreSQL and MySQL/MariaDB: blocking drivers in bounded thread pools, a connection for each thread.

A unit that loses a race (serialisation failure, deadlock) is run again, with jitter, a bounded number of times. So is
one whose connection broke before COMMIT was sent. If it broke during COMMIT nobody knows, and ``CommitUnknown`` says
so.
"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from sdk.core.errors import ConfigurationError, StorageBusy, StorageError, StorageUnavailable
from sdk.service import failpoints
from sdk.service.database.jobs import Figures, Outcome
from sdk.service.database.unit import Driver, Unit
from sdk.service.database.workers import Workers
from sdk.service.errors import CommitUnknown
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa
    from sqlalchemy.pool import PoolProxiedConnection

    from sdk.service.database.jobs import Job

ATTEMPTS: Final = 20
LONGEST_PAUSE: Final = 0.2
CLOSING: Final = 5.0
"""Seconds for which units at work are waited for when the database is closed."""
ISOLATION: Final = frozenset({"serializable", "repeatable read", "read committed"})

log = get_logger(__name__)


class ServerDriver(Driver, Protocol):
    """What differs between the servers."""

    def connect(self) -> PoolProxiedConnection: ...

    def begin(self, cursor: Any, *, write: bool) -> None: ...

    def begin_migration(self, cursor: Any) -> None:
        """Wait for the lock that keeps others from migrating, then begin."""
        ...

    def end_migration(self, cursor: Any) -> None:
        """After COMMIT or ROLLBACK: give the lock back, unless that has done it."""
        ...

    def in_transaction(self, dbapi_connection: Any) -> bool: ...

    def commit(self, cursor: Any) -> None:
        """Raises ``StorageError`` if the server did not commit."""
        ...

    def disconnected(self, error: BaseException, dbapi_connection: Any) -> bool: ...


class _Lost(Exception):
    """The transaction is gone for a reason that may not come again."""

    def __init__(self, error: StorageError) -> None:
        self.error = error
        super().__init__(str(error))


class _Session:
    """One connection of one thread, made again when it breaks."""

    def __init__(
        self,
        driver: ServerDriver,
        *,
        write: bool,
        timeout: float,
        figures: Figures,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._driver, self._write, self._timeout, self._figures = driver, write, timeout, figures
        self._sleep, self._jitter = sleep, jitter
        self._connection: PoolProxiedConnection | None = None

    def run(self, job: Job) -> Outcome:
        deadline = time.monotonic() + self._timeout
        self._figures.units += 1
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return Outcome(job, self._migrate(job) if job.exclusive else self._once(job))
            except _Lost as lost:
                if attempt == ATTEMPTS or time.monotonic() >= deadline or job.abandoned:
                    return Outcome(job, error=lost.error)
                self._figures.repeats += 1
                log.debug("a unit is run again", unit=job.name, attempt=attempt, reason=str(lost))
            except Exception as error:  # noqa: BLE001 - it goes to the caller
                return Outcome(job, error=self._driver.translate(error) or error)
            self._sleep(self._jitter() * min(LONGEST_PAUSE, 0.002 * 2**attempt))
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, job: Job) -> Any:
        dbapi = self._open()
        try:
            cursor = dbapi.cursor()
            self._driver.begin(cursor, write=self._write)
        except Exception as error:
            raise self._classified(error, dbapi) from error
        value = self._call(job, dbapi, cursor)
        self._commit(job, dbapi, cursor)
        return value

    def _migrate(self, job: Job) -> Any:
        dbapi = self._open()
        cursor = dbapi.cursor()
        try:
            self._driver.begin_migration(cursor)
        except Exception as error:
            raise self._classified(error, dbapi) from error
        try:
            value = self._call(job, dbapi, cursor)
            self._commit(job, dbapi, cursor)
        finally:
            if self._connection is not None:
                self._driver.end_migration(cursor)
        return value

    def _call(self, job: Job, dbapi: Any, cursor: Any) -> Any:
        unit = Unit(self._driver, dbapi)
        try:
            value = job.run(unit)
        except Exception as error:
            raise self._classified(unit.finish() or error, dbapi, cursor) from error
        if (broken := unit.finish()) is not None:  # the function went on regardless
            raise self._classified(broken, dbapi, cursor) from broken
        if not job.exclusive and not self._driver.in_transaction(dbapi):
            raise StorageError(f"{job.name} ended the transaction it was given")
        return value

    def _commit(self, job: Job, dbapi: Any, cursor: Any) -> None:
        if self._write and failpoints.active:
            failpoints.reach(f"commit.before {job.name}")
        try:
            self._driver.commit(cursor)
        except Exception as error:
            if self._driver.disconnected(error, dbapi) and self._write:
                self._drop()
                raise CommitUnknown(
                    f"the connection broke while {job.name} was being committed; look for its effects first"
                ) from error
            raise self._classified(error, dbapi, cursor) from error
        self._figures.commits += self._write
        if self._write and failpoints.active:
            failpoints.reach(f"commit.after {job.name}")

    def _classified(self, error: BaseException, dbapi: Any, cursor: Any = None) -> BaseException:
        """Roll back; ``_Lost`` if the unit may be run again."""
        translated = self._driver.translate(error)
        cause = error.__cause__ or error
        if self._driver.disconnected(cause, dbapi):
            self._drop()
            return _Lost(translated or StorageUnavailable(str(error)))
        if cursor is not None:
            self._rollback(dbapi, cursor)
        told = self._driver.translate(cause)
        if isinstance(translated, StorageBusy) and isinstance(told, StorageBusy) and told is not cause:
            return _Lost(translated)  # the driver's; one that the unit raised is its verdict, not ours to repeat
        return translated or error

    def _rollback(self, dbapi: Any, cursor: Any) -> None:
        try:
            cursor.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is of no more use
            log.info("a connection is given up", reason=str(error))
            self._drop()

    def _open(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self._driver.connect()
            except Exception as error:
                raise self._driver.translate(error) or error from error
        return self._connection.dbapi_connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


class ServerBackend:
    def __init__(
        self,
        kind: str,
        url: sa.URL,
        *,
        schema: str | None,
        read_only: bool,
        readers: int,
        writers: int,
        timeout: float,
        isolation: str,
    ) -> None:
        if isolation not in ISOLATION:
            raise ConfigurationError(f"isolation {isolation!r} is not one of {', '.join(sorted(ISOLATION))}")
        self._driver = _driver(kind, url, schema=schema, timeout=timeout, isolation=isolation, create=not read_only)
        self._read_only = read_only
        self.figures = Figures(lambda: self._readers.waiting + self._writers.waiting)
        self._readers = Workers("database-reader", partial(self._session, write=False, timeout=timeout), readers)
        self._writers = Workers("database-writer", partial(self._session, write=True, timeout=timeout), writers)

    def _session(self, *, write: bool, timeout: float) -> _Session:
        return _Session(self._driver, write=write, timeout=timeout, figures=self.figures)

    @property
    def driver(self) -> Driver:
        return self._driver

    @property
    def failure(self) -> BaseException | None:
        return None

    def read(self, job: Job) -> None:
        self._readers.submit(job)

    def write(self, job: Job) -> None:
        if self._read_only:
            raise StorageUnavailable("the database was opened read-only")
        self._writers.submit(job)

    migrate = write

    def close(self) -> None:
        """A server that hangs does not keep the program from ending: it rolls back what was not committed."""
        deadline = time.monotonic() + CLOSING
        self._readers.close(deadline)
        self._writers.close(deadline)


def _driver(
    kind: str, url: sa.URL, *, schema: str | None, timeout: float, isolation: str, create: bool
) -> ServerDriver:
    try:
        if kind == "postgresql":
            from sdk.service.database.postgresql import PostgresqlDriver

            return PostgresqlDriver(url, schema=schema, timeout=timeout, isolation=isolation, create=create)
        from sdk.service.database.mysql import MysqlDriver

        return MysqlDriver(url, schema=schema, timeout=timeout, isolation=isolation)
    except ImportError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'sdk-service[{kind}]'") from error
