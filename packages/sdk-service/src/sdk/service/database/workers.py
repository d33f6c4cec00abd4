"""A bounded set of threads, each with a database connection of its own, started as they are needed."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from sdk.core.errors import StorageBusy, StorageUnavailable
from sdk.service.database.jobs import Outcome, deliver
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.service.database.jobs import Job

WAITING = 10_000
"""Units that may wait at one time; beyond it callers get ``StorageBusy``."""
_LEAST = 0.2
"""Seconds for which a thread is waited for, though the deadline is past: most end at once when they are told."""

log = get_logger(__name__)


class Session(Protocol):
    """A connection that runs one job after the other."""

    def run(self, job: Job) -> Outcome:
        """Never raises: what goes wrong is the outcome."""
        ...

    def close(self) -> None: ...


S = TypeVar("S", bound=Session)


class Workers(Generic[S]):
    def __init__(self, name: str, open_session: Callable[[], S], size: int) -> None:
        self._name = name
        self._open = open_session
        self._size = size
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition(threading.Lock())
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        with self._ready:
            if self._closed:
                raise StorageUnavailable("the database is closed")
            if len(self._jobs) >= WAITING:
                raise StorageBusy(f"{WAITING} units are waiting for the database already")
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._ready.notify()
            elif len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            else:
                self._ready.notify()

    def _work(self) -> None:
        session: S | None = None
        try:
            while (job := self._next()) is not None:
                if job.abandoned:
                    continue
                try:
                    if session is None:
                        session = self._open()
                    outcome = session.run(job)
                except Exception as error:  # noqa: BLE001 - it goes to the caller
                    outcome = Outcome(job, error=error)
                deliver([outcome])
        finally:
            if session is not None:
                session.close()

    def _next(self) -> Job | None:
        with self._ready:
            self._idle += 1
            while not self._jobs and not self._closed:
                self._ready.wait()
            self._idle -= 1
            return self._jobs.popleft() if self._jobs else None

    def close(self, deadline: float | None = None) -> None:
        """Finish what waits, then end the threads. Blocks, until the deadline (of ``time.monotonic``) if there is one:
        a thread whose server does not answer is left behind then, and what still waits is told so."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join(None if deadline is None else max(_LEAST, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            log.warning("the database did not answer when it was closed", threads=self._name)
            with self._ready:
                left = [*self._jobs]
                self._jobs.clear()
            gone = StorageUnavailable("the database was closed, and did not answer")
            deliver([Outcome(each, error=gone) for each in left])
