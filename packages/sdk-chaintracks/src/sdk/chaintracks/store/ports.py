"""What a store of headers is made of: ``Bulk`` for what is buried, ``Live`` for what may still change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sdk.chaintracks.errors import StoreCorrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sdk.chaintracks.events import EventHeader, TipEvent


class StoredHeader(NamedTuple):
    """``arrival`` rises with each header that came; ``work`` is that of the chain up to and including it."""

    hash: bytes
    arrival: int
    height: int
    active: bool
    raw: bytes
    work: int


class Move(NamedTuple):
    """A change of the tip to write: ``added`` oldest first (the last ones may do), ``removed`` tip first, all.

    ``work`` is that of the chain up to the new tip.
    """

    at: datetime
    work: int
    first_added: int
    added: Sequence[EventHeader]
    removed: Sequence[EventHeader]


class State(NamedTuple):
    """``tip`` in wire order, the work of the chain up to it, and the id of the last event, 0 before the first.

    ``network`` is whose headers these are; empty for rows of a version that did not note it.
    """

    tip: bytes
    work: int
    event: int
    network: str

    def require(self, network: str) -> None:
        """Raises ``StoreCorrupted`` for the rows of another network."""
        if self.network not in ("", network):
            raise StoreCorrupted(
                f"the database holds headers of {self.network}, not of {network}: "
                f"name a database of its own for {network}"
            )


class Bulk(Protocol):
    """Headers from height 0 on without a gap, one chain; in process, so that reading needs no waiting.

    A header is acknowledged when ``append`` returns, and is there after a crash at any time from then on.
    """

    @property
    def count(self) -> int:
        """Headers that are held: heights 0 to ``count - 1``."""
        ...

    def header(self, height: int) -> bytes | None: ...

    def read(self, first: int, count: int) -> bytes:
        """Up to ``count`` headers from ``first`` on; fewer at the end."""
        ...

    def find(self, block_hash: bytes) -> tuple[int, bytes] | None:
        """Height and header."""
        ...

    def work_at(self, height: int) -> int:
        """Work of the chain up to and including ``height``."""
        ...

    def append(self, raw: bytes, hashes: bytes) -> None:
        """Headers after the last one, which are checked, and their hashes, 32 bytes each. Raises ``StorageError``,
        and then nothing was added."""
        ...

    def truncate(self, count: int) -> None:
        """Forget the headers from height ``count`` on."""
        ...

    def close(self) -> None: ...


class Live(Protocol):
    """Headers near the tip with their branches, the tip that writers compare and replace, and the log of events.

    Each call is one transaction. Raises ``StorageError``.
    """

    name: str

    async def begin(self, first: StoredHeader, network: str) -> None:
        """The first header of an empty store, and whose it is. Does nothing when another process was quicker."""
        ...

    async def state(self) -> State | None:
        """None before ``begin``."""
        ...

    async def rows(self, first: int) -> list[StoredHeader]:
        """Every header from height ``first`` on, side branches too, by height and arrival."""
        ...

    async def active(self, first: int, last: int) -> list[StoredHeader]:
        """The active headers at ``first .. last``, by height; fewer where there are none."""
        ...

    async def span(self) -> tuple[int, int] | None:
        """Heights of the lowest and the highest active header."""
        ...

    async def find(self, block_hash: bytes) -> StoredHeader | None: ...

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
        """Add headers, then switch or forget those that were there, and note the event.

        A header that is there already stays as it is; an active one is not forgotten. Raises ``StoreMoved``, with
        nothing changed, unless the tip is ``expected_tip`` (if given): another process, or a call that was cancelled,
        has moved it.
        """
        ...

    async def prune(self, active_below: int, side_below: int) -> None:
        """Forget active headers below one height, and the others below another."""
        ...

    async def last_event(self) -> int: ...

    async def events_after(self, cursor: int, limit: int = 100) -> list[TipEvent]:
        """Events with ids above ``cursor``, oldest first. When the first is not ``cursor + 1``, those between are
        gone: at most ``MAX_EVENTS`` or a few more are kept."""
        ...

    async def check(self) -> str | None:
        """For readiness: None, or why it cannot be used."""
        ...


class Closable(Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HeaderStore:
    """A bulk and a live part. ``rows_stay`` says that the bulk is only a view: buried headers stay in the live part.

    ``opened`` is what else ``close`` closes.
    """

    bulk: Bulk
    live: Live
    rows_stay: bool = False
    opened: tuple[Closable, ...] = ()

    @property
    def name(self) -> str:
        return self.live.name

    async def check(self) -> str | None:
        """For readiness: None, or why it cannot be used."""
        return await self.live.check()

    async def last_event(self) -> int:
        return await self.live.last_event()

    async def events_after(self, cursor: int, limit: int = 100) -> list[TipEvent]:
        return await self.live.events_after(cursor, limit)

    async def close(self) -> None:
        self.bulk.close()
        for each in self.opened:
            await each.close()
