"""A change of the tip as it is kept, told to listeners and read again after a cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.chaintracks.consensus.fields import header_hash, split

if TYPE_CHECKING:
    from datetime import datetime

MAX_EVENTS: Final = 1000
"""Events that are kept; a cursor before the oldest of them has missed some."""
MAX_ADDED: Final = 256
"""Headers that an event lists as added; the ones before them are found by height."""


class EventHeader(NamedTuple):
    height: int
    hash: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class TipEvent:
    """The chain left ``removed`` (tip first, in full) and went on with ``added`` (oldest first).

    ``id`` is 1 for the first change of a store and rises by one with each, over all its processes. ``added`` ends at
    the new tip; of a long run it holds the last ``MAX_ADDED``, and ``first_added`` says at what height the run began.
    """

    id: int
    at: datetime
    first_added: int
    added: tuple[EventHeader, ...]
    removed: tuple[EventHeader, ...]

    @property
    def tip(self) -> EventHeader:
        return self.added[-1]

    @property
    def depth(self) -> int:
        """Headers that are no longer active; 0 when the chain only grew."""
        return len(self.removed)


def listed(raw: bytes, height: int, step: int) -> tuple[EventHeader, ...]:
    """The headers of ``raw``, the first at ``height``, each ``step`` (1 or -1) from the one before."""
    return tuple(EventHeader(height + step * at, header_hash(each), each) for at, each in enumerate(split(raw)))
