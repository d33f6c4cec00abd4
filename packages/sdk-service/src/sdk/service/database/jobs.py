"""Units on their way from a coroutine to a thread, and their outcomes on the way back."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdk.service.database.unit import Unit

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """One unit of work that somebody waits for."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    exclusive: bool = False

    @classmethod
    def of(cls, function: Callable[..., Any], args: tuple[Any, ...], *, exclusive: bool = False) -> Job:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is async; a unit of work is a plain function (docs/database.md)")
        loop = asyncio.get_running_loop()
        return cls(function, args, loop.create_future(), loop, exclusive)

    @property
    def name(self) -> str:
        function = getattr(self.function, "func", self.function)
        return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"

    @property
    def abandoned(self) -> bool:
        """The caller has stopped waiting; what has not begun need not begin."""
        return self.future.cancelled()

    def run(self, unit: Unit) -> Any:
        return self.function(unit, *self.args)


@dataclass(slots=True)
class Outcome:
    job: Job
    value: Any = None
    error: BaseException | None = None


class Figures:
    """What a database has done, for metrics. Counted without a lock: a figure may miss a step, never its sense."""

    __slots__ = ("_waiting", "commits", "repeats", "units")

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self.units = 0
        self.commits = 0
        self.repeats = 0

    @property
    def waiting(self) -> int:
        """Units that are queued now."""
        return self._waiting()


def deliver(outcomes: Iterable[Outcome]) -> None:
    """Wake the callers, with one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.job.loop, []).append(outcome)
    for loop, theirs in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, theirs)
        except RuntimeError:
            log.debug("event loop closed before its database units were done", units=len(theirs))


def _settle(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.job.future
        if future.done():
            continue
        if outcome.error is None:
            future.set_result(outcome.value)
        elif isinstance(outcome.error, StopIteration):
            future.set_exception(RuntimeError(f"{outcome.job.name} raised StopIteration"))
        else:
            future.set_exception(outcome.error)
