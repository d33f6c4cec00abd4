"""Units on ``chaintracks_headers``. One call is one unit: it happens wholly or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.store.tables import headers
from sdk.service.database import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.service.database import Database, Row, Unit

_H = headers.c
_ROW = select(_H.hash, _H.arrival, _H.height, _H.active, _H.raw, _H.work)
_NEWEST = select(_H.hash, _H.height).where(_H.active.is_(True)).order_by(_H.height.desc()).limit(1)
_TOP = Prepared(_NEWEST.with_only_columns(_H.height))
_TIP = Prepared(_NEWEST.with_only_columns(_H.hash))
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


class StoredHeader(NamedTuple):
    """``arrival`` rises with each header that came; ``work`` is that of the chain up to and including it."""

    hash: bytes
    arrival: int
    height: int
    active: bool
    raw: bytes
    work: int


class HeaderStore:
    """All headers of one network; of those, the active ones form one chain from genesis. Raises ``StorageError``."""

    def __init__(self, database: Database) -> None:
        self.database = database

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
    ) -> None:
        """Add headers, then switch or forget those that were there, in one transaction.

        A header that is there already stays as it is. Raises ``StoreMoved``, with nothing changed, unless the active
        tip is ``expected_tip`` (if given): another process, or a call that was cancelled, has moved it.
        """
        await self.database.write(_apply, inserted, [*activated], [*deactivated], [*forgotten], expected_tip)


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
) -> None:
    if expected_tip is not None and unit.scalar(_TIP) != expected_tip:
        raise StoreMoved("another writer has changed the stored chain of headers; it is read again")
    if inserted:
        unit.run_many(_INSERT, [{**each._asdict(), "work": each.work.to_bytes(32, "big")} for each in inserted])
    for on, hashes in ((False, deactivated), (True, activated)):
        if hashes:
            unit.run_many(_MARK, [{"wanted": each, "on": on} for each in hashes])
    if forgotten:
        unit.run_many(_FORGET, [{"wanted": each} for each in forgotten])


def _stored(row: Row) -> StoredHeader:
    work = int.from_bytes(row.work, "big")
    return StoredHeader(bytes(row.hash), row.arrival, row.height, bool(row.active), bytes(row.raw), work)
