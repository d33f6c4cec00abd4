"""Units on ``chaintracks_headers``. One call is one unit: it happens wholly or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from sdk.chaintracks.consensus.fields import HEADER
from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.events import MAX_ADDED, MAX_EVENTS, TipEvent, listed
from sdk.chaintracks.store.tables import events, headers, state
from sdk.service.database import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sdk.chaintracks.events import EventHeader
    from sdk.service.database import Database, Row, Unit

_H = headers.c
_ROW = select(_H.hash, _H.arrival, _H.height, _H.active, _H.raw, _H.work)
_NEWEST = select(_H.hash, _H.height).where(_H.active.is_(True)).order_by(_H.height.desc()).limit(1)
_TOP = Prepared(_NEWEST.with_only_columns(_H.height))
_LIVE = Prepared(_ROW.where(_H.height >= bindparam("first")).order_by(_H.height, _H.arrival))
_ACTIVE = Prepared(
    select(_H.height, _H.raw)
    .where(_H.active.is_(True), _H.height >= bindparam("first"), _H.height <= bindparam("last"))
    .order_by(_H.height)
)
_FIND = Prepared(_ROW.where(_H.hash == bindparam("wanted")))
_INSERT = Prepared(
    insert(headers),
    sqlite=sqlite.insert(headers).on_conflict_do_nothing(),
    postgresql=postgresql.insert(headers).on_conflict_do_nothing(),
    mysql=mysql.insert(headers).prefix_with("IGNORE"),
)
_MARK = Prepared(update(headers).where(_H.hash == bindparam("wanted")).values(active=bindparam("on")))
_FORGET = Prepared(delete(headers).where(_H.hash == bindparam("wanted"), _H.active.is_(False)))
_S = state.c
_STATE = Prepared(select(_S.tip, _S.event))
_BEGIN = Prepared(insert(state))
_MOVE = Prepared(
    update(state).where(_S.tip == bindparam("expected")).values(tip=bindparam("reached"), event=_S.event + 1)
)
_E = events.c
_TELL = Prepared(insert(events))
_AFTER = Prepared(select(events).where(_E.id > bindparam("cursor")).order_by(_E.id).limit(bindparam("most")))
_PRUNE = Prepared(delete(events).where(_E.id <= bindparam("oldest")))
_PRUNE_EVERY = 100


class StoredHeader(NamedTuple):
    """``arrival`` rises with each header that came; ``work`` is that of the chain up to and including it."""

    hash: bytes
    arrival: int
    height: int
    active: bool
    raw: bytes
    work: int


class Move(NamedTuple):
    """A change of the tip to write: ``added`` oldest first, ``removed`` tip first."""

    at: datetime
    added: Sequence[EventHeader]
    removed: Sequence[EventHeader]


class HeaderStore:
    """All headers of one network; of those, the active ones form one chain from genesis. Raises ``StorageError``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def begin(self, first: StoredHeader) -> None:
        """The first header of an empty store. Does nothing when another process was quicker."""
        await self.database.write(_begin, first)

    async def last_event(self) -> int:
        """The id of the latest event; 0 when nothing has happened yet."""
        return await self.database.read(_last_event)

    async def events_after(self, cursor: int, limit: int = 100) -> list[TipEvent]:
        """Events with ids above ``cursor``, oldest first. When the first is not ``cursor + 1``, those between are gone.

        At most ``MAX_EVENTS`` or a few more are kept.
        """
        return await self.database.read(_events_after, cursor, limit)

    async def top(self) -> int | None:
        """Height of the active tip; None in an empty store."""
        return await self.database.read(_top)

    async def live(self, first: int) -> list[StoredHeader]:
        """Every header from height ``first`` on, side branches too, by height and arrival."""
        return await self.database.read(_live, first)

    async def active(self, first: int, last: int) -> list[bytes]:
        """The raw headers of the active chain at ``first .. last``; fewer where there are none."""
        return await self.database.read(_active, first, last)

    async def find(self, block_hash: bytes) -> StoredHeader | None:
        return await self.database.read(_find, block_hash)

    async def apply(
        self,
        inserted: Sequence[StoredHeader],
        activated: Iterable[bytes] = (),
        deactivated: Iterable[bytes] = (),
        forgotten: Iterable[bytes] = (),
        expected_tip: bytes | None = None,
        move: Move | None = None,
    ) -> TipEvent | None:
        """Add headers, then switch or forget those that were there, and note the event, in one transaction.

        A header that is there already stays as it is. Raises ``StoreMoved``, with nothing changed, unless the active
        tip is ``expected_tip`` (if given): another process, or a call that was cancelled, has moved it.
        """
        return await self.database.write(
            _apply, inserted, [*activated], [*deactivated], [*forgotten], expected_tip, move
        )


def _begin(unit: Unit, first: StoredHeader) -> None:
    if unit.first(_STATE) is None:
        unit.run_many(_INSERT, [_columns(first)])
        unit.run(_BEGIN, name="chain", tip=first.hash, event=0)


def _last_event(unit: Unit) -> int:
    row = unit.first(_STATE)
    return 0 if row is None else row.event


def _events_after(unit: Unit, cursor: int, limit: int) -> list[TipEvent]:
    return [_event(row) for row in unit.rows(_AFTER, cursor=cursor, most=limit)]


def _event(row: Row) -> TipEvent:
    added, removed = bytes(row.added), bytes(row.removed)
    count = len(added) // HEADER
    top = row.first_added - 1 + len(removed) // HEADER
    return TipEvent(row.id, row.at, row.first_added, listed(added, row.height - count + 1, 1), listed(removed, top, -1))


def _top(unit: Unit) -> int | None:
    found = unit.scalar(_TOP)
    return None if found is None else int(found)


def _live(unit: Unit, first: int) -> list[StoredHeader]:
    return [_stored(row) for row in unit.rows(_LIVE, first=first)]


def _active(unit: Unit, first: int, last: int) -> list[bytes]:
    return [bytes(row.raw) for row in unit.rows(_ACTIVE, first=first, last=last)]


def _find(unit: Unit, block_hash: bytes) -> StoredHeader | None:
    row = unit.first(_FIND, wanted=block_hash)
    return None if row is None else _stored(row)


def _apply(
    unit: Unit,
    inserted: Sequence[StoredHeader],
    activated: Sequence[bytes],
    deactivated: Sequence[bytes],
    forgotten: Sequence[bytes],
    expected_tip: bytes | None,
    move: Move | None,
) -> TipEvent | None:
    event = None
    if move is not None:
        event = _move(unit, expected_tip, move)
    elif expected_tip is not None:
        _expect(unit.first(_STATE), expected_tip)
    if inserted:
        unit.run_many(_INSERT, [_columns(each) for each in inserted])
    for on, hashes in ((False, deactivated), (True, activated)):
        if hashes:
            unit.run_many(_MARK, [{"wanted": each, "on": on} for each in hashes])
    if forgotten:
        unit.run_many(_FORGET, [{"wanted": each} for each in forgotten])
    return event


def _expect(row: Row | None, tip: bytes) -> None:
    if row is None or bytes(row.tip) != tip:
        raise StoreMoved("another writer has changed the stored chain of headers; it is read again")


def _move(unit: Unit, expected_tip: bytes | None, move: Move) -> TipEvent:
    """Compare and replace the tip; the row it locks orders the writers, so that ids have no gaps and no late ones."""
    if expected_tip is None or unit.run(_MOVE, expected=expected_tip, reached=move.added[-1].hash) != 1:
        raise StoreMoved("another writer has changed the stored chain of headers; it is read again")
    number = _last_event(unit)
    added = move.added[-MAX_ADDED:]
    event = TipEvent(number, move.at, move.added[0].height, tuple(added), tuple(move.removed))
    unit.run(
        _TELL,
        id=number,
        at=move.at,
        height=event.tip.height,
        first_added=event.first_added,
        added=b"".join(each.raw for each in added),
        removed=b"".join(each.raw for each in move.removed),
    )
    if number % _PRUNE_EVERY == 0:
        unit.run(_PRUNE, oldest=number - MAX_EVENTS)
    return event


def _columns(each: StoredHeader) -> dict[str, object]:
    return {**each._asdict(), "work": each.work.to_bytes(32, "big")}


def _stored(row: Row) -> StoredHeader:
    work = int.from_bytes(row.work, "big")
    return StoredHeader(bytes(row.hash), row.arrival, row.height, bool(row.active), bytes(row.raw), work)
