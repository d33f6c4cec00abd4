"""What one transport brings in, handled in turn: a flood waits at its own source and not in our memory or time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdk.module_runtime.orchestrator.allowance import Allowance

_AT_ONCE: Final = 128

T = TypeVar("T")


class Intake(Generic[T]):
    """Hands messages to ``handle``, some in each turn of the loop, as far as the allowance goes.

    ``reading(False)`` asks the source to wait, ``reading(True)`` to go on. ``cost`` is what a message takes of the
    allowance, which several sources may share.
    """

    def __init__(
        self,
        handle: Callable[[T], None],
        reading: Callable[[bool], None],
        allowance: Allowance,
        cost: Callable[[T], float],
    ) -> None:
        self._handle, self._reading, self.allowance, self._cost = handle, reading, allowance, cost
        self._backlog: deque[T] = deque()
        self._next: asyncio.Handle | None = None
        self._held = False
        self._paused = False

    def put(self, messages: Iterable[T]) -> None:
        self._backlog.extend(messages)
        if self._next is None and not self._held:
            self._run()

    def hold(self, held: bool) -> None:
        """Whether to leave messages where they are, because what they asked for is not done yet."""
        self._held = held
        if not held and self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._run)

    def flush(self) -> None:
        """Handle what is left: nothing more will come."""
        self.close_timer()
        while self._backlog:
            self._handle(self._backlog.popleft())

    def close(self) -> None:
        self.close_timer()
        self._backlog.clear()
        self._held = True

    def close_timer(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _run(self) -> None:
        self._next = None
        wait = 0.0
        for _ in range(_AT_ONCE):
            if self._held or not self._backlog:
                break
            if not self.allowance.take(self._cost(self._backlog[0])):
                wait = self.allowance.wait()
                break
            self._handle(self._backlog.popleft())
        if self._backlog and not self._held and self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.call_later(wait, self._run) if wait else loop.call_soon(self._run)
        self._pause(bool(self._backlog) or self._held)

    def _pause(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            self._reading(not paused)
