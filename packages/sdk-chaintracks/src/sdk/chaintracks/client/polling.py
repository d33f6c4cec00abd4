"""What has changed at a server that does not tell of it, found by looking: the reference's service has no events.

Nothing is a change unless the server shows a whole way to it. A tip that lies behind ours on our own chain is late, a
header that is missing will come, and another branch replaces ours only with more work: none of these is a
reorganisation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

from sdk.chaintracks.client.updates import REMEMBERED, Gap, HeadersUpdate, ReorgUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.header import BlockHeader

    Placed = tuple[int, BlockHeader]

_PAGE: Final = 1000
_AT_HAND: Final = 100
_LISTED: Final = 2000
"""Headers of one update; of a longer run it has the last ones."""


class Asked(Protocol):
    """Calls of one server. Raise ``ServiceUnavailable``."""

    async def tip(self) -> Placed: ...

    async def headers(self, first: int, count: int) -> list[BlockHeader]:
        """Up to ``count`` headers of its best chain that follow one another."""
        ...

    async def header_for(self, block_hash: str) -> Placed | None: ...


class Moved(Exception):
    """The server's chain changed while it was read, or has holes: look again."""


class Poller:
    """One subscriber's view. ``path`` are the last headers of the chain as told, with their heights, tip last."""

    def __init__(self) -> None:
        self._path: list[Placed] = []
        self.cursor: str | None = None
        """After everything that was found. Servers that have events know it too: they go by its block."""

    async def look(self, server: Asked, cursor: str | None) -> list[HeadersUpdate | ReorgUpdate | Gap]:
        """What happened since ``cursor``, as both topics tell it; nothing when that is not clear yet.

        Without ``cursor`` the first look says where things begin. Raises ``ServiceUnavailable``.
        """
        tip = await server.tip()
        if cursor is None or cursor != self.cursor:
            found = tip if cursor is None else await server.header_for(cursor.rpartition("-")[2])
            if found is None:
                return [self._gap(str(cursor), tip)]
            self._path, self.cursor = await _before(server, found), cursor or _cursor(tip[1])
        if tip == self._path[-1]:
            return []
        try:
            return await self._compare(server, tip)
        except Moved:
            return []

    async def _compare(self, server: Asked, tip: Placed) -> list[HeadersUpdate | ReorgUpdate | Gap]:
        kept = await self._kept(server, tip)
        if kept is None:
            return [self._gap(str(self.cursor), tip)]
        if tip[0] == self._path[kept][0]:
            return []  # it is late: its tip is on our chain
        added = await _added(server, self._path[kept], tip)
        removed = [*reversed(self._path[kept + 1 :])]
        if removed and _work(added) <= _work(removed):
            return []
        first, count = self._path[kept][0] + 1, tip[0] - self._path[kept][0]
        self._path = ([*self._path[: kept + 1], *added] if len(added) == count else added)[-REMEMBERED:]
        headers, cursor = tuple(header for _, header in added), _cursor(tip[1])
        self.cursor = cursor
        net = count > 1
        told: list[HeadersUpdate | ReorgUpdate | Gap] = [
            HeadersUpdate(first, count, headers, len(removed), cursor, net)
        ]
        if removed:
            told.append(ReorgUpdate(len(removed), removed[0], tip, tuple(removed), cursor, net))
        return told

    async def _kept(self, server: Asked, tip: Placed) -> int | None:
        """Where on ``path`` the last header lies that is on the server's chain too; None if it is not known."""
        end = len(self._path)
        while True:
            while end and self._path[end - 1][0] > tip[0]:
                end -= 1
            start = max(0, end - _PAGE)
            theirs = await server.headers(self._path[start][0], end - start) if end else []
            if len(theirs) < end - start:
                raise Moved
            for at in range(end - 1, start - 1, -1):
                if self._path[at][1] == theirs[at - start]:
                    return at
            end = start
            if not end:
                before = await server.header_for(self._path[0][1].previous_hash)
                if before is None or len(self._path) >= REMEMBERED:
                    return None
                self._path.insert(0, before)
                end = 1

    def _gap(self, last_good: str, tip: Placed) -> Gap:
        self._path, self.cursor = [tip], _cursor(tip[1])
        return Gap(last_good, "the block of that cursor is not known here", self.cursor)


async def _before(server: Asked, placed: Placed) -> list[Placed]:
    """``placed``, and some headers before it where they are at hand, so that they need not be asked for when they are
    gone."""
    first = max(0, placed[0] + 1 - _AT_HAND)
    found = await server.headers(first, placed[0] + 1 - first)
    if len(found) != placed[0] + 1 - first or found[-1] != placed[1]:
        return [placed]
    return [(first + at, header) for at, header in enumerate(found)]


async def _added(server: Asked, before: Placed, tip: Placed) -> list[Placed]:
    """The server's headers after ``before`` up to ``tip``, or the last of them."""
    first = max(before[0] + 1, tip[0] + 1 - _LISTED)
    added: list[BlockHeader] = []
    for at in range(first, tip[0] + 1, _PAGE):
        count = min(_PAGE, tip[0] + 1 - at)
        added += await server.headers(at, count)
        if len(added) != at + count - first:
            raise Moved
    links = all(one.hash() == after.previous_hash for one, after in pairwise(added))
    if not links or added[-1] != tip[1] or (first == before[0] + 1 and added[0].previous_hash != before[1].hash()):
        raise Moved
    return [(first + at, header) for at, header in enumerate(added)]


def _work(headers: Sequence[Placed]) -> int:
    return sum(header.work() for _, header in headers)


def _cursor(tip: BlockHeader) -> str:
    return f"0-{tip.hash()}"
