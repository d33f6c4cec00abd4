"""SQLite's one writer: a thread that owns the write connection and commits waiting units together.

A commit costs one fsync however many units it holds. The first unit of a batch needs no savepoint: if it fails the
whole transaction is rolled back, and nothing else is in it. Each further unit stands in a savepoint. Outcomes, failures
too, are told only after COMMIT, because a later unit may have seen what an earlier one wrote. A file's COMMIT is done
or not; one of a lent database can be lost on its way, and then every unit of the batch ends in ``CommitUnknown``.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from sdk.core.errors import SdkError, StorageBusy, StorageError, StorageUnavailable
from sdk.service import failpoints
from sdk.service.database.jobs import Outcome, deliver
from sdk.service.database.sqlite_place import is_lost
from sdk.service.database.unit import Unit
from sdk.service.errors import CommitUnknown
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from sdk.service.database.jobs import Figures, Job
    from sdk.service.database.sqlite import SqliteDriver

BATCH_UNITS: Final = 64
BATCH_SECONDS: Final = 0.010
WAITING: Final = 10_000

log = get_logger(__name__)


class TransactionLost(StorageError):
    """The whole transaction is gone (disk full, I/O error, a commit that failed), with every unit in it."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(str(cause))


class Writer:
    """``begin`` starts a write transaction, waiting for other processes as long as it may."""

    def __init__(
        self,
        driver: SqliteDriver,
        connect: Callable[[], sqlite3.Connection],
        begin: Callable[[sqlite3.Connection], None],
        figures: Figures,
    ) -> None:
        self._driver, self._connect, self._begin_on, self._figures = driver, connect, begin, figures
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._held: Job | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._stopping = False
        self.failure: BaseException | None = None
        self._connection = connect()
        self._thread = threading.Thread(target=self._main, name="sqlite-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._jobs.qsize()

    def submit(self, job: Job) -> None:
        with self._lock:
            if self.failure is not None:
                raise self._dead()
            if self._closed:
                raise StorageUnavailable("the database is closed")
            if self._jobs.qsize() >= WAITING:
                raise StorageBusy(f"{WAITING} units are waiting for the database already")
            self._jobs.put(job)

    def close(self) -> None:
        """Finish what waits, then end the thread. Blocks."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    # the thread

    def _main(self) -> None:
        try:
            while (job := self._wait()) is not None:
                if job.exclusive:
                    self._exclusive(job)
                else:
                    self._batch(job)
        except BaseException as error:  # noqa: BLE001 - every caller, now and later, is told
            self._die(error)
        finally:
            self._connection.close()

    def _wait(self) -> Job | None:
        held, self._held = self._held, None
        if held is not None:
            return held
        while not self._stopping:
            job = self._jobs.get()
            if job is None or not job.abandoned:
                return job
        return None

    def _more(self) -> Job | None:
        """The next unit of this batch, if one waits."""
        while not self._stopping:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return None
            if job is None:
                self._stopping = True
            elif job.exclusive:
                self._held = job
                return None
            elif not job.abandoned:
                return job
        return None

    def _die(self, error: BaseException) -> None:
        with self._lock:
            self.failure = error
        log.critical("the database writer has died; restart the process", error=repr(error))
        waiting = [self._held] if self._held is not None else []
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                waiting.append(job)
        deliver(Outcome(job, error=self._dead()) for job in waiting)

    def _dead(self) -> StorageUnavailable:
        return StorageUnavailable(f"the database writer has died ({self.failure!r}); restart the process")

    def _batch(self, first: Job) -> None:
        jobs = [first]
        try:
            outcomes = self._together(jobs)
        except TransactionLost as lost:
            log.warning("a batch of units was rolled back; each is run again alone", units=len(jobs), cause=str(lost))
            self._figures.repeats += len(jobs)
            self._one_by_one(jobs)
            return
        except SdkError as error:
            outcomes = [Outcome(job, error=error) for job in jobs]
        except BaseException as error:
            self._give_up(jobs, error)
            raise
        deliver(outcomes)

    def _one_by_one(self, jobs: list[Job]) -> None:
        for position, job in enumerate(jobs):
            try:
                outcome = self._alone(job)
            except BaseException as error:
                self._give_up(jobs[position:], error)
                raise
            deliver([outcome])

    def _give_up(self, jobs: list[Job], error: BaseException) -> None:
        """What nothing here expects has happened to these: they are told, for nobody else will."""
        self.failure = error
        deliver(Outcome(job, error=self._dead()) for job in jobs)

    def _begin(self, *, may_renew: bool = True) -> None:
        """On a new connection where the one there was is lost, as a lent database's may be."""
        try:
            self._begin_on(self._connection)
        except SdkError:
            if not (may_renew and is_lost(self._connection)):
                raise
            self._renew()
            self._begin_on(self._connection)

    def _renew(self) -> None:
        if is_lost(self._connection):
            self._connection = self._connect()

    def _together(self, jobs: list[Job]) -> list[Outcome]:
        """Run ``jobs[0]`` and what comes meanwhile, which is added to ``jobs``, in one transaction."""
        self._begin()
        until = time.monotonic() + BATCH_SECONDS
        outcomes = [self._run(jobs[0], inner=False)]
        if outcomes[0].error is not None:
            return outcomes
        while len(jobs) < BATCH_UNITS and time.monotonic() < until:
            job = self._more()
            if job is None:
                break
            jobs.append(job)
            outcomes.append(self._run(job, inner=True))
        self._commit(jobs)
        return outcomes

    def _alone(self, job: Job) -> Outcome:
        try:
            self._begin(may_renew=not job.exclusive)
            outcome = self._run(job, inner=False)
            if outcome.error is None:
                self._commit([job])
        except TransactionLost as lost:
            return Outcome(job, error=lost.cause)
        except SdkError as error:
            return Outcome(job, error=error)
        return outcome

    def _exclusive(self, job: Job) -> None:
        """A migration: tables are rebuilt, so foreign keys are checked once, before COMMIT."""
        try:
            self._renew()
            self._connection.execute("PRAGMA foreign_keys=OFF")
        except (SdkError, self._driver.error) as error:
            deliver([Outcome(job, error=self._driver.translate(error) or error)])
            return
        try:
            self._one_by_one([job])
        finally:
            self._look_at_foreign_keys()

    def _look_at_foreign_keys(self) -> None:
        """Again. A new connection does so by itself."""
        try:
            self._connection.execute("PRAGMA foreign_keys=ON")
        except self._driver.error:
            if not is_lost(self._connection):
                raise

    def _run(self, job: Job, *, inner: bool) -> Outcome:
        """One unit in the open transaction. If it fails it leaves no trace; the first one ends the transaction."""
        connection = self._connection
        if inner:
            self._control("SAVEPOINT sdk_unit")
        unit = Unit(self._driver, connection)
        try:
            value = job.run(unit)
            if (broken := unit.finish()) is not None:
                raise broken
            if not connection.in_transaction:
                raise StorageError(f"{job.name} ended the transaction it was given")
            if job.exclusive:
                self._driver.check_foreign_keys(connection)
        except Exception as error:
            unit.finish()
            outcome = Outcome(job, error=self._driver.translate(error) or error)
            if inner and not connection.in_transaction:
                raise TransactionLost(outcome.error or error) from error
            self._undo(inner)
            return outcome
        if inner:
            self._control("RELEASE sdk_unit")
        return Outcome(job, value)

    def _undo(self, inner: bool) -> None:
        if inner:
            self._control("ROLLBACK TO sdk_unit")
            self._control("RELEASE sdk_unit")
        else:
            self._connection.rollback()

    def _control(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except self._driver.error as error:
            if sql == "COMMIT" and is_lost(self._connection):
                raise CommitUnknown("the connection broke during COMMIT; look for the unit's effects first") from error
            self._connection.rollback()
            raise TransactionLost(self._driver.translate(error) or error) from error

    def _commit(self, jobs: list[Job]) -> None:
        if failpoints.active:
            self._reach("commit.before", jobs)
        self._control("COMMIT")
        self._figures.commits += 1
        self._figures.units += len(jobs)
        if failpoints.active:
            self._reach("commit.after", jobs)

    def _reach(self, where: str, jobs: list[Job]) -> None:
        try:
            for job in jobs:
                failpoints.reach(f"{where} {job.name}")
        except SdkError:
            self._undo(inner=False)
            raise
