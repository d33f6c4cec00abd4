"""What subscribers are told, encoded once for all of them (R62)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import orjson

from sdk.chaintracks.consensus.fields import header_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.chaintracks.events import EventHeader, TipEvent
    from sdk.chaintracks.server.positions import Position

MAX_LISTED: Final = 64
"""Headers that one message holds; of a longer run it has the last ones, and ``first`` says where the run began."""

MAX_DEACTIVATED: Final = 1_000
"""Headers that a message about a reorganisation lists; its ``depth`` counts all."""


@dataclass(frozen=True)
class Change:
    """The chain left ``removed`` (tip first) and went on with ``added`` (the last of them), to ``position.tip``.

    ``net`` says that this is the sum of changes that are no longer known one by one.
    """

    position: Position
    tip: EventHeader
    first_added: int
    added: Sequence[EventHeader]
    removed: Sequence[EventHeader]
    net: bool = False

    @classmethod
    def of(cls, event: TipEvent, position: Position) -> Change:
        return cls(position, event.tip, event.first_added, event.added[-MAX_LISTED:], event.removed)

    @cached_property
    def headers(self) -> bytes:
        """``{"type": "headers", "cursor", "first", "count", "removed", "headers": […], "net"}``: new active headers."""
        return orjson.dumps(
            {
                "type": "headers",
                "cursor": str(self.position),
                "first": self.first_added,
                "count": self.tip.height + 1 - self.first_added,
                "removed": len(self.removed),
                "headers": [_json(each) for each in self.added],
                "net": self.net,
            }
        )

    @cached_property
    def reorg(self) -> bytes | None:
        """``{"type": "reorg", "cursor", "depth", "oldTip", "newTip", "deactivated": […], "net"}``, tip first; None when
        the chain only grew."""
        if not self.removed:
            return None
        return orjson.dumps({"type": "reorg", "cursor": str(self.position), **reorg_members(self), "net": self.net})

    @cached_property
    def tip_event(self) -> bytes:
        """The header of the new tip, as a server-sent event."""
        return _event(str(self.position), _json(self.tip))

    @cached_property
    def reorg_event(self) -> bytes | None:
        return _event(str(self.position), reorg_members(self)) if self.removed else None


@dataclass(frozen=True)
class Gap:
    """What happened between the reader's position and ``position`` is not known here (R60)."""

    position: Position
    last_good: Position
    reason: str

    @property
    def members(self) -> dict[str, Any]:
        return {
            "cursor": str(self.position),
            "lastGood": str(self.last_good),
            "reason": self.reason,
            "reconcile": "/v2/tip/header",
        }

    @property
    def message(self) -> bytes:
        return orjson.dumps({"type": "gap", **self.members})

    @property
    def event(self) -> bytes:
        return b"event: gap\n" + _event(str(self.position), self.members)


def reorg_members(change: Change) -> dict[str, Any]:
    """Depth, both tips and the headers that are no longer active, tip first."""
    return {
        "depth": len(change.removed),
        "oldTip": _json(change.removed[0]),
        "newTip": _json(change.tip),
        "deactivated": [_json(each) for each in change.removed[:MAX_DEACTIVATED]],
    }


def first_event(position: Position, tip: EventHeader) -> bytes:
    """What a stream of tips begins with."""
    return _event(str(position), _json(tip))


def _event(cursor: str, members: dict[str, Any]) -> bytes:
    return f"id: {cursor}\ndata: ".encode() + orjson.dumps(members) + b"\n\n"


def _json(header: EventHeader) -> dict[str, Any]:
    return header_json(header.raw, header.height, header.hash)
