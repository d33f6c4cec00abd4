"""What of the past a rule may look at: times and bits of consecutive headers up to a parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW = 2016 + 32
"""Headers that answer every rule: a whole retarget interval, and the medians around its edges."""

MEDIAN_SPAN = 11


class MissingHistory(Exception):
    """A rule needs the header at ``height``, which lies before the window."""

    def __init__(self, height: int) -> None:
        self.height = height
        super().__init__(height)


class Window:
    """Times and bits of the headers ``first .. last`` (both inclusive); ``last`` is the parent of what is checked."""

    __slots__ = ("bits", "first", "times")

    def __init__(self, first: int, times: Sequence[int] = (), bits: Sequence[int] = ()) -> None:
        self.first = first
        self.times = list(times)
        self.bits = list(bits)

    @property
    def last(self) -> int:
        """Height of the parent; ``first - 1`` when nothing is known."""
        return self.first + len(self.times) - 1

    def index(self, height: int) -> int:
        """Position of ``height`` in the sequences. Raises ``MissingHistory`` before the window."""
        if height < self.first:
            raise MissingHistory(height)
        return height - self.first

    def median_time(self, height: int) -> int:
        """Median time past at ``height`` (spec/consensus.md §2.7): of it and up to ten headers before it."""
        start = self.index(max(0, height - MEDIAN_SPAN + 1))
        span = sorted(self.times[start : self.index(height) + 1])
        return span[len(span) // 2]

    def followed_by(self, times: Sequence[int], bits: Sequence[int]) -> Window:
        """The window after headers with these times and bits, cut to ``WINDOW`` headers."""
        return Window(self.first, [*self.times, *times], [*self.bits, *bits]).cut()

    def cut(self) -> Window:
        """The last ``WINDOW`` headers."""
        surplus = max(0, len(self.times) - WINDOW)
        return Window(self.first + surplus, self.times[surplus:], self.bits[surplus:])
