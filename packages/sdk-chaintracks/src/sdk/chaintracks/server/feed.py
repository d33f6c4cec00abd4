"""The latest changes of the tip, shared by every subscriber.

A reader has a position and nothing else: no queue of its own, so that one that does not read costs no memory. What the
feed no longer holds is read from the durable log; what that no longer holds is told as one net change, or as a gap.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import previous_hash
from sdk.chaintracks.events import EventHeader, listed
from sdk.chaintracks.server.changes import MAX_LISTED, Change, Gap
from sdk.chaintracks.server.positions import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.events import TipEvent

KEPT: Final = 256
"""Changes in memory, and those that are replayed to one reader (R61)."""


class Feed:
    """``newest`` is where a reader stands that has everything. ``gaps`` counts those that had to be told."""

    def __init__(self, chain: HeaderChain) -> None:
        self._chain = chain
        self._kept: deque[Change] = deque(maxlen=KEPT)
        self._wakes: set[asyncio.Event] = set()
        self._log = asyncio.Lock()
        self.newest = Position(chain.last_event, chain.tip.hash)
        self.closed = False
        self.gaps = 0
        chain.listeners.append(self._publish)

    def _publish(self, event: TipEvent) -> None:
        if event.id != self.newest.number + 1:
            self._kept.clear()  # events between were pruned before this process could read them
        self.newest = Position(event.id, event.tip.hash)
        self._kept.append(Change.of(event, self.newest))
        self._wake()

    def close(self) -> None:
        """Wake every reader for the last time."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for each in self._wakes:
            each.set()

    @contextmanager
    def reader(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is news; the reader clears it."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            yield wake
        finally:
            self._wakes.discard(wake)

    def recent(self, number: int) -> list[Change] | None:
        """The changes after event ``number``, if all of them are in memory."""
        if number == self.newest.number:
            return []
        first = self._kept[0].position.number if self._kept else self.newest.number + 1
        if not first - 1 <= number < self.newest.number:
            return None
        return list(self._kept)[number + 1 - first :]

    async def read(self, position: Position) -> tuple[Position, list[Change | Gap]]:
        """What a reader at ``position`` has missed, oldest first, and where it stands then."""
        if position == self.newest:
            return position, []
        found = self._recent_after(position)
        if not found:
            async with self._log:  # thousands may come back to one place: the first one reads the log for all
                found = self._recent_after(position) or await self._logged_after(position)
        if found:
            return found[-1].position, [*found]
        if await self._is_ahead(position):
            return (
                position,
                [],
            )  # told by another process over our store; we shall know it soon, and wake the reader
        return await self._net(position)

    async def _is_ahead(self, position: Position) -> bool:
        if position.number <= self.newest.number:
            return False
        events = await self._chain.store.events_after(position.number - 1, 1)
        return bool(events) and Position(events[0].id, events[0].tip.hash) == position

    def _recent_after(self, position: Position) -> list[Change] | None:
        """Memory is asked only if it holds the event itself, for another server may have one of the same number."""
        before = self.recent(position.number - 1)
        if not before or before[0].position != position:
            return None
        return before[1:]

    async def _logged_after(self, position: Position) -> list[Change] | None:
        if not 0 < self.newest.number - position.number <= KEPT:
            return None
        if self._kept and position.number >= self._kept[0].position.number:
            return None  # memory has the event of that number, and it is another
        events = await self._chain.store.events_after(position.number - 1, KEPT + 1)
        changes = [Change.of(each, Position(each.id, each.tip.hash)) for each in events]
        self._remember(changes)
        if position.number == 0:
            begun = bool(changes) and changes[0].position.number == 1 and position.tip == await self._chain.hash_at(0)
            return changes if begun and len(changes) <= KEPT else None
        if not changes or changes[0].position != position or len(changes) > KEPT:
            return None
        return changes[1:]

    def _remember(self, changes: list[Change]) -> None:
        """Keep older changes too, as far as they reach up to those that are kept and there is room."""
        first = self._kept[0].position.number if self._kept else self.newest.number + 1
        if not changes or changes[-1].position.number < first - 1:
            return
        for each in reversed(changes):
            if each.position.number < first and len(self._kept) < KEPT:
                self._kept.appendleft(each)

    async def _net(self, position: Position) -> tuple[Position, list[Change | Gap]]:
        """From the reader's tip to ours, whatever happened between them."""
        newest, tip = self.newest, self._chain.tip
        if position.tip == newest.tip:
            return newest, []
        if tip.hash != newest.tip:
            return position, []  # the chain is on its way; its event is about to come
        left = await self._left(position.tip)
        if left is None:
            self.gaps += 1
            return newest, [Gap(newest, position, "the block of that cursor is not known here")]
        fork, removed = left
        first = max(fork + 1, tip.height + 1 - MAX_LISTED)
        added = listed(await self._chain.headers(first, tip.height + 1 - first), first, 1)
        if self.newest != newest:
            return position, []  # it changed meanwhile, and has woken the reader
        reached = EventHeader(tip.height, tip.hash, tip.raw)
        return newest, [Change(newest, reached, fork + 1, added, removed, net=True)]

    async def _left(self, old_tip: bytes) -> tuple[int, list[EventHeader]] | None:
        """The height at which the active chain leaves that of ``old_tip``, and the headers above it, tip first."""
        removed: list[EventHeader] = []
        block_hash = old_tip
        while (found := await self._chain.find(block_hash)) is not None:
            height, raw = found
            if await self._chain.hash_at(height) == block_hash:
                return height, removed
            removed.append(EventHeader(height, block_hash, raw))
            block_hash = previous_hash(raw)
        return None
