"""Where a subscriber stands: the id of the last event it has, and the tip after it.

The tip makes a position meaningful to any server: one whose log does not hold that event can still tell what lies
between that tip and its own.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sdk.chaintracks.consensus.fields import display, internal
from sdk.core.errors import ParseError

_CURSOR: Final = re.compile(r"([0-9]{1,18})-([0-9a-f]{64})", re.ASCII)


class Position(NamedTuple):
    """``tip`` in wire order."""

    number: int
    tip: bytes

    def __str__(self) -> str:
        return f"{self.number}-{display(self.tip)}"


def read_cursor(text: str) -> Position:
    """The inverse of ``str(position)``; raises ``ParseError``."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ParseError("cursor", f"must be one that this service gave, <number>-<block hash>; is {text!r:.80}")
    return Position(int(match[1]), internal(match[2]))
