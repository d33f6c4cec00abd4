"""Work that begins at once, and needs a task only if it has to wait: most of what a module asks does not.

Python can from 3.12 on (``eager_start``). Before that it is done here: an heir is a task that waits for work to go on
with. The first step of each piece of work is done in its name, so that ``current_task()``, and with it time limits and
cancellation, mean the heir from the beginning; it is handed what has not ended by then.
"""

from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    Work = Coroutine[Any, Any, None]


class EagerTasks:
    """An error that work does not handle is told to the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heir: _Heir | None = None

    def start(self, work: Work) -> asyncio.Task[None] | None:
        """The task that goes on with it; None if it has ended."""
        if sys.version_info >= (3, 12):
            task = asyncio.Task(work, loop=self._loop, eager_start=True)
            if not task.done():
                return task
            if not task.cancelled() and (error := task.exception()) is not None:
                _tell(self._loop, error)
            return None
        if self._heir is None:
            self._heir = _Heir(self._loop)
        if not self._heir.waits or asyncio.current_task(self._loop) is not None:
            return self._loop.create_task(work)
        if self._heir.begin(work):
            return None
        task, self._heir = self._heir.task, _Heir(self._loop)
        return task

    def close(self) -> None:
        if self._heir is not None:
            self._heir.task.cancel()


class _Heir:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handed_over: asyncio.Future[None] = loop.create_future()
        self._work: Work | None = None
        self._waits_for: Any = None
        self.waits = False
        """Only then can it be handed work: a task that is cancelled before it has begun never begins."""
        self.task = loop.create_task(self._run())

    def begin(self, work: Work) -> bool:
        """Do the first step. Whether it was the last."""
        asyncio.tasks._enter_task(self._loop, self.task)
        try:
            self._waits_for = work.send(None)
        except StopIteration:
            return True
        except Exception as error:  # noqa: BLE001 - as that of a task which nobody awaits
            _tell(self._loop, error)
            return True
        finally:
            asyncio.tasks._leave_task(self._loop, self.task)
        self._work = work
        self._handed_over.set_result(None)
        return False

    async def _run(self) -> None:
        await self._go_on()

    @types.coroutine
    def _go_on(self) -> Generator[Any, Any, None]:
        """What a task does with a coroutine, from its second step on."""
        interruption: BaseException | None = None
        self.waits = True
        try:
            yield from self._handed_over
        except BaseException as error:
            if self._work is None:
                raise
            interruption = error
        work, waits_for = self._work, self._waits_for
        assert work is not None
        while True:
            if interruption is None:
                try:
                    yield waits_for
                except BaseException as error:  # noqa: BLE001 - it is the work's
                    interruption = error
            try:
                if interruption is None:
                    waits_for = work.send(None)
                else:
                    thrown, interruption = interruption, None
                    waits_for = work.throw(thrown)
            except StopIteration:
                return


def _tell(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    loop.call_exception_handler({"message": "work failed at its first step", "exception": error})
