"""What one transport brings in, handled in turn: a flood waits at its own source and not in our memory or time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdk.module_runtime.channels.allowance import Allowance

_AT_ONCE: Final = 128

T = TypeVar("T")


def _one(message: object) -> float:
    return 1.0


class Intake(Generic[T]):
    """Hands messages to ``handle``, some in each turn of the loop, as far as the allowance goes.

    ``reading(False)`` asks the source to wait, ``reading(True)`` to go on. ``cost`` is what a message takes of the
    allowance, which several sources may share; without one there is no limit but that of a turn.
    """

    def __init__(
        self,
        handle: Callable[[T], None],
        reading: Callable[[bool], None],
        allowance: Allowance | None = None,
        cost: Callable[[T], float] = _one,
    ) -> None:
        self._handle, self._reading, self.allowance, self._cost = handle, reading, allowance, cost
        self._backlog: deque[T] = deque()
        self._next: asyncio.Handle | None = None
        self._left = _AT_ONCE
        self._held = False
        self._paused = False

    def put(self, messages: Iterable[T]) -> None:
        self._backlog.extend(messages)
        if self._next is None:
            self._run()
        elif self._backlog:
            self._pause(True)

    def take(self, message: T) -> None:
        """One message, which most of the time nothing keeps from being handled at once."""
        if self._left > 1 and self._next is None and not self._held and not self._backlog and self._is_granted(message):
            self._left -= 1
            self._handle(message)
        else:
            self.put((message,))

    def hold(self, held: bool) -> None:
        """Whether to leave messages where they are, because what they asked for is not done yet."""
        self._held = held
        if held:
            self._pause(True)
        elif self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._turn)

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

    def _turn(self) -> None:
        self._next, self._left = None, _AT_ONCE
        self._run()

    def _run(self) -> None:
        wait = 0.0
        while self._backlog and self._left and not self._held:
            if self.allowance is not None and not self._is_granted(self._backlog[0]):
                wait = self.allowance.wait()
                break
            self._left -= 1
            self._handle(self._backlog.popleft())
        if self._next is None and not self._held and (self._backlog or not self._left):
            loop = asyncio.get_running_loop()
            self._next = loop.call_later(wait, self._turn) if wait else loop.call_soon(self._turn)
        self._pause(bool(self._backlog) or self._held)

    def _is_granted(self, message: T) -> bool:
        return self.allowance is None or self.allowance.take(self._cost(message))

    def _pause(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            self._reading(not paused)
