"""Leases on requests: who is sending what, until when, and when it is next due. Written before anything is sent (R19).

A lease is taken by one conditional unit; when its owner dies it runs out and the next worker takes over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, or_, select, update

from sdk.core.errors import StorageError
from sdk.service.database import Prepared, upsert
from sdk.wallet.lifecycle import TRANSACTION_TRANSITIONS, RequestStatus, predicates
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.lifecycle_tables import wallet_request_schedule
from sdk.wallet.storage.tables import proven_tx_reqs, transactions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.sql import Select

    from sdk.service.database import Row, Unit

_R = proven_tx_reqs.c
_S = wallet_request_schedule.c
_T = transactions.c

TO_SEND = sorted(status.value for status in predicates.REQUESTS_TO_SEND)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A request whose lease the caller holds until ``until``. ``attempts`` counts earlier posts without a verdict."""

    request_id: int
    txid: str
    raw_tx: bytes
    attempts: int
    was_broadcast: bool
    batch: str | None
    until: datetime


def upsert_schedule(*columns: str) -> Prepared:
    """INSERT a row of ``wallet_request_schedule``, or set ``columns`` of the one that is there."""
    return upsert(wallet_request_schedule, ["provenTxReqId"], columns)


_FREE_LEASE = or_(_S.leaseUntil.is_(None), _S.leaseUntil < bindparam("now"))
_DUE = or_(_S.nextSend.is_(None), _S.nextSend <= bindparam("now"))
_AGED = or_(_R.status == RequestStatus.SENDING.value, _R.updated_at <= bindparam("aged"))


def _candidates(*where: Any) -> Select[Any]:
    return (
        select(_R.provenTxReqId, _R.txid, _R.rawTx, _R.attempts, _R.wasBroadcast, _R.batch)
        .join(wallet_request_schedule, _S.provenTxReqId == _R.provenTxReqId, isouter=True)
        .where(_R.status.in_(TO_SEND), *where)
        .order_by(func.coalesce(_S.nextSend, _R.updated_at), _R.provenTxReqId)
    )


def _locking(statement: Select[Any]) -> Prepared:
    return Prepared(statement, postgresql=lambda: statement.with_for_update(skip_locked=True, of=proven_tx_reqs))


_SIBLING, _ITS_SCHEDULE = proven_tx_reqs.alias("sibling"), wallet_request_schedule.alias("its_schedule")
_NOT_YET = or_(
    _ITS_SCHEDULE.c.leaseUntil >= bindparam("now"),
    _ITS_SCHEDULE.c.nextSend > bindparam("now"),
    and_(_SIBLING.c.status != RequestStatus.SENDING.value, _SIBLING.c.updated_at > bindparam("aged")),
)
_HELD_UP = (
    select(_SIBLING.c.provenTxReqId)
    .outerjoin(_ITS_SCHEDULE, _ITS_SCHEDULE.c.provenTxReqId == _SIBLING.c.provenTxReqId)
    .where(_SIBLING.c.batch == _R.batch, _SIBLING.c.status.in_(TO_SEND), _NOT_YET)
    .correlate(proven_tx_reqs)
    .exists()
)
"""A batch waits for the last of its members. Until then it must not stand in the way of others."""
_WAITING = _locking(_candidates(_FREE_LEASE, _DUE, _AGED, or_(_R.batch.is_(None), ~_HELD_UP)).limit(bindparam("most")))
_NAMED = _locking(_candidates(_FREE_LEASE, _R.txid.in_(bindparam("txids", expanding=True))))
_BATCHES = _locking(_candidates(_FREE_LEASE, _DUE, _AGED, _R.batch.in_(bindparam("batches", expanding=True))))
_BATCH_SIZES = Prepared(
    select(_R.batch, func.count().label("size"))
    .where(_R.batch.in_(bindparam("batches", expanding=True)), _R.status.in_(TO_SEND))
    .group_by(_R.batch)
)
_LEASED = Prepared(
    select(_R.txid)
    .join(wallet_request_schedule, _S.provenTxReqId == _R.provenTxReqId)
    .where(_R.txid.in_(bindparam("txids", expanding=True)), _S.leaseUntil >= bindparam("now"), _R.status.in_(TO_SEND))
)
_LEASE = upsert_schedule("owner", "leaseUntil")
_MARK = Prepared(
    update(proven_tx_reqs)
    .where(_R.provenTxReqId.in_(bindparam("ids", expanding=True)), _R.status.in_(TO_SEND))
    .values(status=RequestStatus.SENDING.value, updated_at=bindparam("now"))
)
_MARK_ROWS = Prepared(
    update(transactions)
    .where(
        _T.txid.in_(bindparam("txids", expanding=True)),
        _T.status.in_(sorted(status.value for status, kind in TRANSACTION_TRANSITIONS if kind is by.SendStarted)),
    )
    .values(status="sending", updated_at=bindparam("now"))
)
_END = Prepared(
    update(wallet_request_schedule)
    .where(and_(_S.provenTxReqId == bindparam("id"), _S.owner == bindparam("holder")))
    .values(owner=None, leaseUntil=None, nextSend=bindparam("next"), propagated=bindparam("shown"))
)


def leased_among(unit: Unit, txids: Sequence[str], *, now: datetime) -> set[str]:
    """Those of ``txids`` that some worker is sending."""
    return {row.txid for row in unit.rows(_LEASED, txids=list(txids), now=now)}


def claim_waiting(
    unit: Unit, *, owner: str, now: datetime, lease: timedelta, min_age: timedelta, limit: int
) -> list[Claimed]:
    """Take up to ``limit`` due requests, longest due first. A batch comes whole, once all of it is due."""
    aged = now - min_age
    found = unit.rows(_WAITING, now=now, aged=aged, most=limit)
    batches = sorted({row.batch for row in found if row.batch is not None})
    chosen = [row for row in found if row.batch is None]
    if batches:
        members = unit.rows(_BATCHES, now=now, aged=aged, batches=batches)
        sizes = {row.batch: row.size for row in unit.rows(_BATCH_SIZES, batches=batches)}
        whole = {name for name in batches if sum(row.batch == name for row in members) == sizes.get(name)}
        chosen += [row for row in members if row.batch in whole]
    return _take(unit, chosen, owner, now, now + lease)


def claim_named(unit: Unit, txids: Sequence[str], *, owner: str, now: datetime, lease: timedelta) -> list[Claimed]:
    """Take those of ``txids`` that wait to be sent and that nobody else is sending."""
    return _take(unit, unit.rows(_NAMED, now=now, txids=list(txids)), owner, now, now + lease) if txids else []


def _take(unit: Unit, rows: Sequence[Row], owner: str, now: datetime, until: datetime) -> list[Claimed]:
    if not rows:
        return []
    unit.run_many(_LEASE, [{"provenTxReqId": r.provenTxReqId, "owner": owner, "leaseUntil": until} for r in rows])
    matched = unit.run(_MARK, ids=[row.provenTxReqId for row in rows], now=now)
    if matched != len(rows):
        raise StorageError(f"{len(rows)} requests were claimed and {matched} were still to be sent (R4)")
    unit.run(_MARK_ROWS, txids=[row.txid for row in rows], now=now)
    return [Claimed(r.provenTxReqId, r.txid, r.rawTx, r.attempts, bool(r.wasBroadcast), r.batch, until) for r in rows]


def end_lease(
    unit: Unit, claimed: Claimed, *, owner: str, next_send: datetime | None, propagated: bool = False
) -> bool:
    """Give the lease back; whether it was still this owner's."""
    return unit.run(_END, id=claimed.request_id, holder=owner, next=next_send, shown=propagated) == 1
