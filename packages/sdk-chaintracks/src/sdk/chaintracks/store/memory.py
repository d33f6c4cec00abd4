"""The live part of a store in memory: nothing outlasts the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.events import MAX_ADDED, MAX_EVENTS, TipEvent
from sdk.chaintracks.store.ports import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.chaintracks.store.ports import Move, StoredHeader


class MemoryLive:
    """``Live`` for tests, for tools, and for services that may begin anew."""

    name = "memory"

    def __init__(self) -> None:
        self._rows: dict[bytes, StoredHeader] = {}
        self._state: State | None = None
        self._events: list[TipEvent] = []

    async def begin(self, first: StoredHeader, network: str) -> None:
        if self._state is None:
            self._rows[first.hash] = first
            self._state = State(first.hash, first.work, 0, network)

    async def state(self) -> State | None:
        return self._state

    async def rows(self, first: int) -> list[StoredHeader]:
        found = [each for each in self._rows.values() if each.height >= first]
        return sorted(found, key=lambda each: (each.height, each.arrival))

    async def active(self, first: int, last: int) -> list[StoredHeader]:
        return [each for each in await self.rows(first) if each.active and each.height <= last]

    async def span(self) -> tuple[int, int] | None:
        heights = [each.height for each in self._rows.values() if each.active]
        return (min(heights), max(heights)) if heights else None

    async def find(self, block_hash: bytes) -> StoredHeader | None:
        return self._rows.get(block_hash)

    async def apply(
        self,
        inserted: Sequence[StoredHeader] = (),
        *,
        activated: Iterable[bytes] = (),
        deactivated: Iterable[bytes] = (),
        forgotten: Iterable[bytes] = (),
        expected_tip: bytes | None = None,
        move: Move | None = None,
    ) -> TipEvent | None:
        if expected_tip is not None and (self._state is None or self._state.tip != expected_tip):
            raise StoreMoved("another writer has changed the chain of headers; it is read again")
        event = self._move(move) if move is not None else None
        for each in inserted:
            self._rows.setdefault(each.hash, each)
        for on, hashes in ((False, deactivated), (True, activated)):
            for block_hash in hashes:
                self._rows[block_hash] = self._rows[block_hash]._replace(active=on)
        for block_hash in forgotten:
            if block_hash in self._rows and not self._rows[block_hash].active:
                del self._rows[block_hash]
        return event

    async def prune(self, active_below: int, side_below: int) -> None:
        self._rows = {
            block_hash: each
            for block_hash, each in self._rows.items()
            if each.height >= (active_below if each.active else max(active_below, side_below))
        }

    async def last_event(self) -> int:
        return 0 if self._state is None else self._state.event

    async def events_after(self, cursor: int, limit: int = 100) -> list[TipEvent]:
        return [each for each in self._events if each.id > cursor][:limit]

    async def check(self) -> str | None:
        return None

    def _move(self, move: Move) -> TipEvent:
        if self._state is None:
            raise StoreMoved("the store of headers is empty")
        number = self._state.event + 1
        event = TipEvent(number, move.at, move.first_added, tuple(move.added[-MAX_ADDED:]), tuple(move.removed))
        self._state = State(event.tip.hash, move.work, number, self._state.network)
        self._events = [*self._events[-MAX_EVENTS + 1 :], event]
        return event
