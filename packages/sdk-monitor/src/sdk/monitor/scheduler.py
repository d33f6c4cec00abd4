"""Runs tasks when they are due: each on one worker at a time, none able to stop the others (R68, R69).

Whoever finds a task due takes its lease by compare-and-set and renews it while the task runs. A worker that dies stops
renewing, and the next one to look takes over.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError
from sdk.monitor.errors import UnknownTask
from sdk.monitor.storage.task_rows import (
    Finished,
    claim,
    finish,
    held_by_others,
    next_due,
    register,
    renew,
    task_state,
    trim_log,
)
from sdk.monitor.tasks.base import TaskContext, TaskResult
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sdk.core.ports import Clock
    from sdk.monitor.ports import Backend
    from sdk.monitor.settings import MonitorSettings
    from sdk.monitor.storage.task_rows import (
        ClaimedTask,
    )
    from sdk.monitor.tasks.base import Task
    from sdk.service.database import Database

MAX_BACK_OFF = timedelta(minutes=2)
MAX_DOUBLINGS = 8

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Ending:
    outcome: str
    result: TaskResult
    message: str = ""


class Scheduler:
    """``on_finish`` is told of every run. ``owner`` is unique to this worker."""

    def __init__(
        self,
        database: Database,
        backend: Backend,
        tasks: Iterable[Task],
        *,
        settings: MonitorSettings,
        clock: Clock,
        owner: str,
        on_finish: Callable[[Finished], None] | None = None,
    ) -> None:
        self._database, self._backend, self._settings = database, backend, settings
        self._tasks = {task.name: task for task in tasks}
        self._clock, self._owner = clock, owner
        self._on_finish = on_finish
        self._running: dict[str, asyncio.Task[Finished]] = {}
        self._wake = asyncio.Event()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._tasks))

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(sorted(self._running))

    async def prepare(self) -> None:
        """Make rows for tasks that have none."""
        await self._database.write(register, self.names, now=self._clock())

    async def run_due(self) -> list[Finished]:
        """Everything that is due now and free, at the same time; how each run ended."""
        return await self._run(await self._claim(self.names, only_due=True))

    async def run_now(self, names: Sequence[str]) -> list[Finished]:
        """Named tasks, due or not, in the order given; those that another worker runs are left out.

        Raises ``UnknownTask``.
        """
        for name in names:
            if name not in self._tasks:
                raise UnknownTask(name, self._tasks)
        ended = []
        for name in names:
            ended += await self._run(await self._claim((name,), only_due=False))
        return ended

    async def _run(self, claimed: Sequence[ClaimedTask]) -> list[Finished]:
        return list(await asyncio.gather(*(self._start(each) for each in claimed)))

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; then what runs gets ``grace`` seconds to end before it is cancelled.

        Trouble with the database is waited out.
        """
        try:
            while not stop.is_set():
                try:
                    await self.spawn_due()
                    wait = await self._wait()
                except SdkError as error:
                    log.warning("the scheduler waits for its database", reason=str(error))
                    wait = self._settings.poll * 5
                except Exception:
                    log.exception("the scheduler met a defect and goes on")
                    wait = self._settings.poll * 5
                await self._sleep(stop, wait)
        finally:
            await self._drain()

    async def spawn_due(self) -> None:
        """Start what is due without waiting for it."""
        for each in await self._claim(self.names, only_due=True):
            self._start(each)

    async def _claim(self, names: Iterable[str], *, only_due: bool) -> list[ClaimedTask]:
        free = [name for name in names if name not in self._running]
        if not free:
            return []
        now = self._clock()
        claimed = await self._database.write(
            claim,
            free,
            owner=self._owner,
            now=now,
            until=now + timedelta(seconds=self._settings.lease),
            only_due=only_due,
        )
        for each in claimed:
            if each.took_over is not None:
                log.warning("took over a task", task=each.name, from_=each.took_over)
        return claimed

    def _start(self, claimed: ClaimedTask) -> asyncio.Task[Finished]:
        running = asyncio.create_task(self._supervise(claimed), name=f"monitor {claimed.name}")
        self._running[claimed.name] = running
        running.add_done_callback(lambda done: self._done(claimed.name, done))
        return running

    def _done(self, name: str, done: asyncio.Task[Finished]) -> None:
        self._running.pop(name, None)
        self._wake.set()
        if not done.cancelled() and done.exception() is not None:
            log.error(
                "the end of a run could not be recorded; its lease runs out", task=name, error=str(done.exception())
            )

    async def _supervise(self, claimed: ClaimedTask) -> Finished:
        """Run, keep the lease alive meanwhile, and record how it ended, whatever happened."""
        started = time.monotonic()
        work = asyncio.create_task(self._work(claimed))
        keeper = asyncio.create_task(self._keep_lease(claimed.name, work))
        try:
            ending = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait([work])
            ending = _Ending("cancelled", TaskResult(), "the worker stopped")
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
        ended = self._finished(claimed, ending, int((time.monotonic() - started) * 1000))
        if not await self._database.write(finish, ended, owner=self._owner, now=self._clock()):
            log.warning("another worker took over before the run ended", task=claimed.name)
        if self._on_finish is not None:
            self._on_finish(ended)
        return ended

    async def _work(self, claimed: ClaimedTask) -> _Ending:
        context = TaskContext(
            backend=self._backend,
            settings=self._settings,
            now=self._clock(),
            state=claimed.state,
            state_of=self._state_of,
            trim_log=self._trim_log,
        )
        try:
            async with asyncio.timeout(self._settings.time_limit):
                return _Ending("ok", await self._tasks[claimed.name].run(context))
        except TimeoutError:
            return _Ending("timeout", TaskResult(), f"it took longer than {self._settings.time_limit:g} s")
        except asyncio.CancelledError:
            return _Ending("cancelled", TaskResult(), "its lease was lost, or the worker stopped")
        except SdkError as error:
            log.warning("a task failed", task=claimed.name, reason=str(error))
            return _Ending("error", TaskResult(), f"{type(error).__name__}: {error}")
        except Exception as error:
            log.exception("a task met a defect", task=claimed.name)
            return _Ending("error", TaskResult(), f"{type(error).__name__}: {error}")

    async def _keep_lease(self, name: str, work: asyncio.Task[_Ending]) -> None:
        lease = timedelta(seconds=self._settings.lease)
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            try:
                held = await self._database.write(renew, name, owner=self._owner, until=self._clock() + lease)
            except SdkError as error:
                log.warning("a lease could not be renewed", task=name, reason=str(error))
                continue
            if not held:
                log.warning("a lease was lost; the run ends", task=name)
                work.cancel()
                return

    def _finished(self, claimed: ClaimedTask, ending: _Ending, milliseconds: int) -> Finished:
        now, interval = self._clock(), self._interval(claimed.name)
        is_failure = ending.outcome in ("error", "timeout")
        failures = claimed.failures + 1 if is_failure else 0 if ending.outcome == "ok" else claimed.failures
        if is_failure:
            due = now + min(interval * (1 << min(failures, MAX_DOUBLINGS)), max(MAX_BACK_OFF, interval))
        else:
            due = now if ending.result.again or ending.outcome == "cancelled" else now + interval
        return Finished(
            name=claimed.name,
            outcome=ending.outcome,
            message=ending.message,
            processed=ending.result.processed,
            detail=ending.result.detail,
            milliseconds=milliseconds,
            failures=failures,
            due=due,
            state=ending.result.state,
            wake=ending.result.wake,
        )

    def _interval(self, name: str) -> timedelta:
        return self._settings.interval(name, self._tasks[name].interval)

    async def _state_of(self, name: str) -> Mapping[str, Any]:
        return await self._database.read(task_state, name)

    async def _trim_log(self, before: datetime) -> int:
        return await self._database.write(trim_log, before)

    # waiting

    async def _wait(self) -> float:
        """Seconds to the next date, at most ``poll``: another worker, or another process, may wake a task."""
        idle = [name for name in self.names if name not in self._running]
        if not idle:
            return self._settings.poll
        due = await self._database.read(next_due, idle)
        if due is None:
            return self._settings.poll
        seconds = (due - self._clock()).total_seconds()
        if seconds <= 0:
            held = await self._database.read(held_by_others, idle, owner=self._owner, now=self._clock())
            return self._settings.poll if held else 0.01
        return min(seconds, self._settings.poll)

    async def _sleep(self, stop: asyncio.Event, seconds: float) -> None:
        self._wake.clear()
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(self._wake.wait())]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)

    async def _drain(self) -> None:
        running = list(self._running.values())
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=self._settings.grace)
        for each in late:
            each.cancel()
        if late:
            await asyncio.wait(late)
