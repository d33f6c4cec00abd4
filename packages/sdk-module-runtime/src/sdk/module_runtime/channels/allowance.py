"""So much at once, and so much more a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Allowance:
    """What costs more than is left is granted too, once, and paid off before anything else is."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at = burst, clock()

    def take(self, cost: float = 1.0) -> bool:
        self._refill()
        if self._left <= 0:
            return False
        self._left -= cost
        return True

    def wait(self) -> float:
        """Seconds until something is granted again."""
        self._refill()
        return max(0.0, -self._left / self._rate) + 1 / self._rate

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
