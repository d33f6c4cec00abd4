"""How many messages somebody may send. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 2000
"""Of so many the last messages are remembered; whoever is forgotten begins anew."""


class Allowance:
    """``burst`` messages at once, and ``a_second`` more each second."""

    def __init__(self, burst: float, a_second: float) -> None:
        self._burst, self._a_second = burst, a_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # messages, and when that was

    def take(self, who: str, now: float) -> bool:
        """Whether one more message of ``who`` is within bounds; ``now`` in monotonic seconds."""
        left, since = self._left.pop(who, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._a_second)
        within = left >= 1
        self._left[who] = (left - within, now)
        while len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return within
