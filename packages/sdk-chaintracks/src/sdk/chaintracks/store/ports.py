"""What a store of headers offers. The headers far below the tip are *bulk*: one chain, by height. Above is the *live*
window, with its branches. Hashes and headers are bytes in wire order; work is that of the chain up to a header."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class BulkStore(Protocol):
    """Headers ``0 .. count - 1`` of one chain; the genesis header is always there. Blocking; one writer.

    A change is durable when its method returns, and happens wholly or not at all. Raises ``StoreError``.
    """

    @property
    def count(self) -> int: ...
    @property
    def tip_hash(self) -> bytes: ...
    @property
    def work(self) -> int: ...
    def header_at(self, height: int) -> bytes | None: ...
    def headers(self, first: int, count: int) -> bytes:
        """Up to ``count`` headers, fewer at the end."""
        ...

    def height_of(self, block_hash: bytes) -> int | None: ...
    def hash_at(self, height: int) -> bytes | None: ...
    def work_at(self, height: int) -> int:
        """Work of the chain up to ``height``, which is stored."""
        ...

    def append(self, raw: bytes, hashes: Sequence[bytes], work: int) -> None:
        """Add checked headers that follow the last; ``work`` is the sum of their own."""
        ...

    def replace(self, first: int, raw: bytes, hashes: Sequence[bytes], work: int) -> None:
        """Put these headers in the place of those from ``first`` on."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LiveHeader:
    """A header of the live window. ``order`` is its id and rises with arrival."""

    order: int
    height: int
    hash: bytes
    raw: bytes
    work: int
    active: bool


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A change of the tip, as kept for subscribers that come back. ``id`` rises; 0 before it is stored."""

    kind: str
    height: int
    hash: bytes
    payload: Mapping[str, Any]
    id: int = 0


@dataclass(frozen=True, slots=True)
class LiveChange:
    """What happens at once to the live window. Orders name headers."""

    inserted: Sequence[LiveHeader] = ()
    activated: Sequence[int] = ()
    deactivated: Sequence[int] = ()
    removed: Sequence[int] = ()
    events: Sequence[StoredEvent] = ()
    term: int | None = None
    """The lease under which this is written; ``NotLeader`` when another process has taken it over."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write. ``term`` rises with every change of holder; times are Unix seconds."""

    holder: str
    term: int
    expires: float


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a cursor. ``lost`` says that some after the cursor are no longer kept."""

    events: Sequence[StoredEvent] = field(default_factory=tuple)
    lost: bool = False


class LiveStore(Protocol):
    """The live window and the event log of one chain. A change is durable when its method returns.

    Raises ``StorageError`` of sdk.core.
    """

    async def load(self) -> list[LiveHeader]:
        """All headers, by order."""
        ...

    async def apply(self, change: LiveChange) -> list[int]:
        """Apply the change in one transaction; the ids of its events. Headers already there are left as they are."""
        ...

    async def events_after(self, cursor: int, limit: int) -> EventPage: ...
    async def last_event(self) -> int:
        """Id of the newest event, 0 when there is none."""
        ...

    async def acquire(self, holder: str, now: float, seconds: float) -> Lease:
        """Take or prolong the lease when it is free, expired or ours; the lease as it is then."""
        ...

    async def release(self, holder: str) -> None: ...
    async def close(self) -> None: ...
