"""What a subscriber is told, read from messages and held against what was told before. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sdk.chaintracks.client.checks import HeaderChecks
    from sdk.core.header import BlockHeader

REMEMBERED: Final = 3_000
"""Headers of the chain as told so far, to which new ones must link."""


@dataclass(frozen=True, slots=True)
class HeadersUpdate:
    """The chain has new headers from height ``first`` on; what it had there before (``removed`` headers) is gone.

    ``headers`` are the last of the ``count`` new ones, the tip at their end. ``cursor`` resumes after this update.
    ``net`` says that several changes are told as one.
    """

    first: int
    count: int
    headers: tuple[BlockHeader, ...]
    removed: int
    cursor: str
    net: bool

    @property
    def height(self) -> int:
        return self.first + self.count - 1

    @property
    def tip(self) -> BlockHeader:
        return self.headers[-1]


@dataclass(frozen=True, slots=True)
class ReorgUpdate:
    """``deactivated`` headers with their heights, tip first; of over a thousand the first ones."""

    depth: int
    old_tip: tuple[int, BlockHeader]
    new_tip: tuple[int, BlockHeader]
    deactivated: tuple[tuple[int, BlockHeader], ...]
    cursor: str
    net: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """What happened since ``last_good`` is not known: compare with the service's chain."""

    last_good: str
    reason: str
    cursor: str


class Reader:
    """Makes updates of messages. Raises ``ServiceUnavailable`` for those that contradict themselves or earlier ones."""

    def __init__(self, checks: HeaderChecks) -> None:
        self._checks = checks
        self._path: OrderedDict[int, str] = OrderedDict()

    def subscribed(self, message: dict[str, Any]) -> str:
        """The cursor to begin with."""
        height, header = self._checks.header(message.get("tip"))
        cursor = self._text(message, "cursor")
        if cursor.endswith(f"-{header.hash()}") and not self._path:
            self._path[height] = header.hash()
        return cursor

    def update(self, message: dict[str, Any]) -> HeadersUpdate | ReorgUpdate | Gap | None:
        """None for headers that were told already, and for kinds of message that are not known here."""
        kind = message.get("type")
        if kind == "headers":
            return self._headers(message)
        if kind == "reorg":
            return self._reorg(message)
        if kind == "gap":
            self._path.clear()
            return Gap(*(self._text(message, name) for name in ("lastGood", "reason", "cursor")))
        return None

    def _headers(self, message: dict[str, Any]) -> HeadersUpdate | None:
        listed = message.get("headers")
        if not isinstance(listed, list) or not listed:
            raise self._checks.nonsense("told of new headers without any")
        numbered = [self._checks.header(each) for each in listed]
        first, count, removed = (self._checks.height(message.get(name)) for name in ("first", "count", "removed"))
        start = first + count - len(numbered)
        if start < first or [height for height, _ in numbered] != list(range(start, first + count)):
            raise self._checks.nonsense("told of headers whose heights do not fit")
        headers = tuple(header for _, header in numbered)
        self._checks.run(headers)
        if start == first and self._path.get(first - 1, headers[0].previous_hash) != headers[0].previous_hash:
            raise self._checks.nonsense("told of headers that do not follow those it told before")
        if all(self._path.get(height) == header.hash() for height, header in numbered) and not removed:
            return None
        self._take(first, numbered)
        cursor, net = self._text(message, "cursor"), message.get("net") is True
        return HeadersUpdate(first, count, headers, removed, cursor, net)

    def _take(self, first: int, numbered: list[tuple[int, BlockHeader]]) -> None:
        while self._path and next(reversed(self._path)) >= first:
            self._path.popitem()
        self._path.update((height, header.hash()) for height, header in numbered)
        while len(self._path) > REMEMBERED:
            self._path.popitem(last=False)

    def _reorg(self, message: dict[str, Any]) -> ReorgUpdate:
        gone, depth = message.get("deactivated"), self._checks.height(message.get("depth"))
        if not isinstance(gone, list) or not 0 < len(gone) <= depth:
            raise self._checks.nonsense("told of a reorganisation that removed nothing")
        deactivated = tuple(self._checks.header(each) for each in gone)
        self._checks.run([header for _, header in reversed(deactivated)])
        old_tip, new_tip = (self._checks.header(message.get(name)) for name in ("oldTip", "newTip"))
        if old_tip != deactivated[0]:
            raise self._checks.nonsense("told of a reorganisation whose old tip is still there")
        cursor, net = self._text(message, "cursor"), message.get("net") is True
        return ReorgUpdate(depth, old_tip, new_tip, deactivated, cursor, net)

    def _text(self, message: dict[str, Any], name: str) -> str:
        value = message.get(name)
        if not isinstance(value, str) or len(value) > 1000:
            raise self._checks.nonsense(f"sent a message without {name}")
        return value
