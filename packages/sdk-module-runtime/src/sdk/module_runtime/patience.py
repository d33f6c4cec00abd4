"""Time limits for requests that are many and short: cheaper than ``asyncio.timeout``, which makes a timer for each."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

TICK: Final = 0.025
"""Seconds by which a limit may come late."""


class Patience:
    """Limits that end within one tick share a timer."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._ending: dict[int, set[TimeLimit]] = {}

    def limit(self, seconds: float) -> TimeLimit:
        """``with patience.limit(5):`` raises ``TimeoutError``, as ``asyncio.timeout`` does, but up to a tick later."""
        return TimeLimit(self, math.ceil((self.loop.time() + seconds) / TICK))

    def begin(self, limit: TimeLimit) -> None:
        ending = self._ending.get(limit.tick)
        if ending is None:
            ending = self._ending[limit.tick] = set()
            self.loop.call_at(limit.tick * TICK, self._end, limit.tick)
        ending.add(limit)

    def forget(self, limit: TimeLimit) -> None:
        ending = self._ending.get(limit.tick)
        if ending is not None:
            ending.discard(limit)

    def _end(self, tick: int) -> None:
        for limit in self._ending.pop(tick):
            limit.reached()


class TimeLimit:
    """Cancels the task that is in its block when the time is over, and turns that into ``TimeoutError``."""

    __slots__ = ("_cancelling", "_is_over", "_patience", "_task", "tick")

    def __init__(self, patience: Patience, tick: int) -> None:
        self._patience, self.tick = patience, tick
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task(self._patience.loop)  # without the loop, Python 3.11 asks the system for it
        if task is None:
            raise RuntimeError("a time limit is for a task")
        self._task, self._cancelling = task, task.cancelling()
        self._patience.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_over:
            self._patience.forget(self)
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def reached(self) -> None:
        self._is_over = True
        self._task.cancel()
