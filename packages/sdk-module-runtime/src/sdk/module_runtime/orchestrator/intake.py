"""What one transport brings in, handled in turn: a flood waits at its own source and not in our memory or time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MESSAGES_A_SECOND: Final = 30_000.0
BURST: Final = 30_000.0
_AT_ONCE: Final = 128

T = TypeVar("T")


class Intake(Generic[T]):
    """Hands messages to ``handle``, some in each turn of the loop and not more than the rate allows.

    ``reading(False)`` asks the source to wait, ``reading(True)`` to go on.
    """

    def __init__(
        self,
        handle: Callable[[T], None],
        reading: Callable[[bool], None],
        clock: Callable[[], float],
        *,
        rate: float = MESSAGES_A_SECOND,
        burst: float = BURST,
    ) -> None:
        self._handle, self._reading, self._clock = handle, reading, clock
        self._rate, self._burst, self._allowance, self._at = rate, burst, burst, clock()
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
        loop = asyncio.get_running_loop()
        allowed = self._allowed(min(len(self._backlog), _AT_ONCE))
        for _ in range(allowed):
            if self._held or not self._backlog:
                break
            self._handle(self._backlog.popleft())
        if self._backlog and not self._held and self._next is None:
            wait = 0.0 if allowed else 100 / self._rate
            self._next = loop.call_later(wait, self._run) if wait else loop.call_soon(self._run)
        self._pause(bool(self._backlog) or self._held)

    def _allowed(self, wanted: int) -> int:
        now = self._clock()
        self._allowance = min(self._burst, self._allowance + (now - self._at) * self._rate)
        self._at = now
        granted = min(wanted, int(self._allowance))
        self._allowance -= granted
        return granted

    def _pause(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            self._reading(not paused)
