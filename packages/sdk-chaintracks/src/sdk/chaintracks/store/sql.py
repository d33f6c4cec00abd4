"""The live part of a store in a database. One call is one unit: it happens wholly or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update

from sdk.chaintracks.consensus.fields import HEADER
from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.events import MAX_ADDED, MAX_EVENTS, TipEvent, listed
from sdk.chaintracks.store.ports import State, StoredHeader
from sdk.chaintracks.store.tables import UNNAMED, events, headers, state
from sdk.service.database import Prepared, insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.chaintracks.store.ports import Move
    from sdk.service.database import Database, Row, Unit

_H = headers.c
_ROW = select(_H.hash, _H.arrival, _H.height, _H.active, _H.raw, _H.work)
_SPAN = Prepared(
    select(func.min(_H.height).label("lowest"), func.max(_H.height).label("highest")).where(_H.active.is_(True))
)
_LIVE = Prepared(_ROW.where(_H.height >= bindparam("first")).order_by(_H.height, _H.arrival))
_ACTIVE = Prepared(
    _ROW.where(_H.active.is_(True), _H.height >= bindparam("first"), _H.height <= bindparam("last")).order_by(_H.height)
)
_FIND = Prepared(_ROW.where(_H.hash == bindparam("wanted")))
_INSERT = insert_or_ignore(headers)
_MARK = Prepared(update(headers).where(_H.hash == bindparam("wanted")).values(active=bindparam("on")))
_FORGET = Prepared(delete(headers).where(_H.hash == bindparam("wanted"), _H.active.is_(False)))
_PRUNE = Prepared(
    delete(headers).where(
        or_(_H.height < bindparam("active_below"), and_(_H.active.is_(False), _H.height < bindparam("side_below")))
    )
)
_S = state.c
_STATE = Prepared(select(_S.tip, _S.work, _S.event, _S.name))
_BEGIN = Prepared(insert(state))
_MOVE = Prepared(
    update(state)
    .where(_S.tip == bindparam("expected"))
    .values(tip=bindparam("reached"), work=bindparam("total"), event=_S.event + 1)
)
_E = events.c
_TELL = Prepared(insert(events))
_AFTER = Prepared(select(events).where(_E.id > bindparam("cursor")).order_by(_E.id).limit(bindparam("most")))
_PRUNE_EVENTS = Prepared(delete(events).where(_E.id <= bindparam("oldest")))
_PRUNE_EVERY = 100
_PRUNE_STEP = 10_000
"""Heights that are forgotten in one transaction."""


class SqlLive:
    """``Live`` on SQLite, PostgreSQL, MySQL or MariaDB; the tables are made by ``sdk.service.migrations.upgrade``."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = database.dialect

    async def begin(self, first: StoredHeader, network: str) -> None:
        await self.database.write(_begin, first, network)

    async def state(self) -> State | None:
        return await self.database.read(_state)

    async def rows(self, first: int) -> list[StoredHeader]:
        return await self.database.read(_live, first)

    async def active(self, first: int, last: int) -> list[StoredHeader]:
        return await self.database.read(_active, first, last)

    async def span(self) -> tuple[int, int] | None:
        return await self.database.read(_span)

    async def find(self, block_hash: bytes) -> StoredHeader | None:
        return await self.database.read(_find, block_hash)

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
        return await self.database.write(
            _apply, inserted, [*activated], [*deactivated], [*forgotten], expected_tip, move
        )

    async def prune(self, active_below: int, side_below: int) -> None:
        span = await self.span()
        if span is not None:  # what a change of store leaves may be a whole chain: not in one transaction
            for below in range(span[0] + _PRUNE_STEP, active_below, _PRUNE_STEP):
                await self.database.write(_prune, below, below)
        await self.database.write(_prune, active_below, side_below)

    async def last_event(self) -> int:
        state = await self.state()
        return 0 if state is None else state.event

    async def events_after(self, cursor: int, limit: int = 100) -> list[TipEvent]:
        return await self.database.read(_events_after, cursor, limit)

    async def check(self) -> str | None:
        return await self.database.check()


def _begin(unit: Unit, first: StoredHeader, network: str) -> None:
    if unit.first(_STATE) is None:
        unit.run_many(_INSERT, [_columns(first)])
        unit.run(_BEGIN, name=network, tip=first.hash, work=_packed(first.work), event=0)


def _state(unit: Unit) -> State | None:
    row = unit.first(_STATE)
    if row is None:
        return None
    network = "" if row.name == UNNAMED else row.name
    return State(bytes(row.tip), int.from_bytes(row.work, "big"), row.event, network)


def _span(unit: Unit) -> tuple[int, int] | None:
    row = unit.first(_SPAN)
    return None if row is None or row.lowest is None else (row.lowest, row.highest)


def _prune(unit: Unit, active_below: int, side_below: int) -> None:
    unit.run(_PRUNE, active_below=active_below, side_below=side_below)


def _events_after(unit: Unit, cursor: int, limit: int) -> list[TipEvent]:
    return [_event(row) for row in unit.rows(_AFTER, cursor=cursor, most=limit)]


def _event(row: Row) -> TipEvent:
    added, removed = bytes(row.added), bytes(row.removed)
    count = len(added) // HEADER
    top = row.first_added - 1 + len(removed) // HEADER
    return TipEvent(row.id, row.at, row.first_added, listed(added, row.height - count + 1, 1), listed(removed, top, -1))


def _live(unit: Unit, first: int) -> list[StoredHeader]:
    return [_stored(row) for row in unit.rows(_LIVE, first=first)]


def _active(unit: Unit, first: int, last: int) -> list[StoredHeader]:
    return [_stored(row) for row in unit.rows(_ACTIVE, first=first, last=last)]


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
        _expect(_state(unit), expected_tip)
    if inserted:
        unit.run_many(_INSERT, [_columns(each) for each in inserted])
    for on, hashes in ((False, deactivated), (True, activated)):
        if hashes:
            unit.run_many(_MARK, [{"wanted": each, "on": on} for each in hashes])
    if forgotten:
        unit.run_many(_FORGET, [{"wanted": each} for each in forgotten])
    return event


def _expect(found: State | None, tip: bytes) -> None:
    if found is None or found.tip != tip:
        raise StoreMoved("another writer has changed the stored chain of headers; it is read again")


def _move(unit: Unit, expected_tip: bytes | None, move: Move) -> TipEvent:
    """Compare and replace the tip; the row it locks orders the writers, so that ids have no gaps and no late ones."""
    reached, total = move.added[-1].hash, _packed(move.work)
    if expected_tip is None or unit.run(_MOVE, expected=expected_tip, reached=reached, total=total) != 1:
        raise StoreMoved("another writer has changed the stored chain of headers; it is read again")
    found = _state(unit)
    assert found is not None
    number = found.event
    added = move.added[-MAX_ADDED:]
    event = TipEvent(number, move.at, move.first_added, tuple(added), tuple(move.removed))
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
        unit.run(_PRUNE_EVENTS, oldest=number - MAX_EVENTS)
    return event


def _columns(each: StoredHeader) -> dict[str, object]:
    return {**each._asdict(), "work": _packed(each.work)}


def _packed(work: int) -> bytes:
    return work.to_bytes(32, "big")


def _stored(row: Row) -> StoredHeader:
    work = int.from_bytes(row.work, "big")
    return StoredHeader(bytes(row.hash), row.arrival, row.height, bool(row.active), bytes(row.raw), work)
