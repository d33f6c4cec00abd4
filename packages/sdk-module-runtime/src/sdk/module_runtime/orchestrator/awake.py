"""A clock that stands still while this process does: what was frozen with it, or could not be heard, is not late."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY: Final = 0.5
MOST: Final = 1.0
"""Seconds that may pass from one tick to the next; more is the time of a process that was stopped (SIGSTOP, a frozen
container, a virtual machine that moves)."""


class AwakeClock:
    """Seconds, as of ``clock``, for as long as ``run`` runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost, self._ticked = 0.0, clock()

    def __call__(self) -> float:
        return min(self._clock() - self._lost, self._ticked + MOST)

    def tick(self) -> None:
        now = self()
        self._lost, self._ticked = self._clock() - now, now

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.tick()
