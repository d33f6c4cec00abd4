"""Work of one module: in order within a lane, lanes side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from sdk.module_runtime.orchestrator.eager import EagerTasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    Work = Callable[[], Coroutine[Any, Any, None]]


class Lanes:
    """``busy`` is called with True when ``most`` pieces of work wait, and with False when half of them are done."""

    def __init__(self, most: int, busy: Callable[[bool], None]) -> None:
        self._most, self._busy = most, busy
        self._is_busy = False
        self._waiting = 0
        self._lanes: dict[Hashable, deque[Work]] = {}
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._eager: EagerTasks | None = None

    @property
    def waiting(self) -> int:
        return self._waiting

    def submit(self, lane: Hashable, work: Work) -> None:
        """``work`` handles its own failures; one that it lets through ends only the task of its lane, loudly."""
        self._waiting += 1
        queue = self._lanes.get(lane)
        if queue is None:
            self._lanes[lane] = queue = deque((work,))
            if self._eager is None:
                self._eager = EagerTasks()
            task = self._eager.start(self._run(lane, queue))
            if task is not None:
                self._tasks[lane] = task
        else:
            queue.append(work)
        if self._waiting >= self._most and not self._is_busy:
            self._is_busy = True
            self._busy(True)

    async def close(self) -> None:
        """Cancel what runs and forget what waits."""
        if self._eager is not None:
            self._eager.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lanes.clear()
        self._tasks.clear()

    async def _run(self, lane: Hashable, queue: deque[Work]) -> None:
        try:
            while queue:
                work = queue.popleft()
                try:
                    await work()
                finally:
                    self._done()
        finally:
            if self._lanes.get(lane) is queue:
                del self._lanes[lane]
                self._tasks.pop(lane, None)

    def _done(self) -> None:
        self._waiting -= 1
        if self._is_busy and self._waiting <= self._most // 2:
            self._is_busy = False
            self._busy(False)
