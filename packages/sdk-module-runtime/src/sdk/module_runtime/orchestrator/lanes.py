"""Work of one module: in order within a lane, lanes side by side."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

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
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        return self._waiting

    def submit(self, lane: Hashable, work: Work) -> None:
        """``work`` handles its own failures; one that it lets through ends only the task of its lane, loudly."""
        self._waiting += 1
        queue = self._lanes.get(lane)
        if queue is None:
            self._lanes[lane] = queue = deque((work,))
            self._start(lane, self._run(lane, queue))
        else:
            queue.append(work)
        if self._waiting >= self._most and not self._is_busy:
            self._is_busy = True
            self._busy(True)

    async def close(self) -> None:
        """Cancel what runs and forget what waits."""
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

    def _start(self, lane: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """A task that has done its first step already, where Python can: most answers then leave in the same turn."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if sys.version_info >= (3, 12):
            task = asyncio.Task(work, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(work)
        if not task.done():
            self._tasks[lane] = task

    def _done(self) -> None:
        self._waiting -= 1
        if self._is_busy and self._waiting <= self._most // 2:
            self._is_busy = False
            self._busy(False)
