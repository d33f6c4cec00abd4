"""Checks long runs of headers piece by piece, over all cores when a run is worth it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.chaintracks.check_worker import Task, Worker, WorkerLost, check
from sdk.chaintracks.consensus import WINDOW
from sdk.chaintracks.consensus.fields import HEADER
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sdk.chaintracks.consensus import Rules
    from sdk.chaintracks.errors import InvalidHeader

PIECE: Final = 8192
"""Headers of a piece."""
_WORTH_WORKERS: Final = 4 * PIECE
_AHEAD: Final = 2
"""Pieces that a worker is given before it has answered the first."""

log = get_logger(__name__)


class Piece(NamedTuple):
    """Headers that hold, and their hashes, 32 bytes each."""

    raw: bytes
    hashes: bytes


class HeaderChecker:
    """``workers`` processes at most, started for the first run that is worth them and ended by ``close``."""

    def __init__(self, rules: Rules, *, workers: int | None = None) -> None:
        self._rules = rules
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._wanted = min(cores, 4) if workers is None else workers
        self._workers: list[Worker] = []

    async def check(self, before: bytes, raw: bytes, first: int, now: int) -> AsyncIterator[Piece]:
        """The pieces of ``raw``, headers from height ``first`` on, in order, each as soon as it is known to hold.

        ``before`` are the headers that precede them, at least one and up to ``WINDOW``. Ends before a header whose
        time lies too far ahead, unless it is the first. Raises ``InvalidHeader`` at the piece that has a fault.
        """
        tasks = _tasks(before, raw, first, now)
        checked = self._inline(tasks)
        if self._wanted > 1 and len(raw) >= _WORTH_WORKERS * HEADER and await self._start():
            checked = self._spread(tasks)
        async for task, found in checked:
            if isinstance(found, bytes):
                yield Piece(task.raw, found)
                continue
            if not found.temporary or found.height == first:
                raise found
            whole = task.raw[: (found.height - task.first) * HEADER]
            if whole:
                hashes = check(self._rules, task._replace(raw=whole))
                assert isinstance(hashes, bytes)
                yield Piece(whole, hashes)
            return

    @property
    def processes(self) -> list[int]:
        """Ids of those that run."""
        return [each.pid for each in self._workers]

    async def close(self) -> None:
        workers, self._workers = self._workers, []
        await asyncio.gather(*(each.close() for each in workers))

    async def _inline(self, tasks: Iterator[Task]) -> AsyncIterator[tuple[Task, bytes | InvalidHeader]]:
        for task in tasks:
            yield task, check(self._rules, task)
            await asyncio.sleep(0)

    async def _spread(self, tasks: Iterator[Task]) -> AsyncIterator[tuple[Task, bytes | InvalidHeader]]:
        waiting: deque[tuple[Task, asyncio.Task[bytes | InvalidHeader]]] = deque()
        given = 0
        try:
            while True:
                while len(waiting) < _AHEAD * len(self._workers) and (task := next(tasks, None)) is not None:
                    worker = self._workers[given % len(self._workers)]
                    waiting.append((task, asyncio.create_task(self._ask(worker, task))))
                    given += 1
                if not waiting:
                    return
                task, answer = waiting.popleft()
                yield task, await answer
        finally:
            if waiting:  # answers that nobody reads would be taken for others
                for _, answer in waiting:
                    answer.cancel()
                await asyncio.gather(*(answer for _, answer in waiting), return_exceptions=True)
                await self.close()

    async def _ask(self, worker: Worker, task: Task) -> bytes | InvalidHeader:
        try:
            return await worker.ask(task)
        except WorkerLost as error:
            log.warning("a process that checks headers is lost", reason=str(error))
            return check(self._rules, task)

    async def _start(self) -> bool:
        while len(self._workers) < self._wanted:
            try:
                self._workers.append(await Worker.start(self._rules))
            except OSError as error:
                log.warning("headers are checked in one process", reason=str(error))
                self._wanted = 1
                return False
        return True


def _tasks(before: bytes, raw: bytes, first: int, now: int) -> Iterator[Task]:
    size = PIECE * HEADER
    for at in range(0, len(raw), size):
        yield Task(before, raw[at : at + size], first + at // HEADER, now)
        before = raw[max(0, at + size - WINDOW * HEADER) : at + size]
