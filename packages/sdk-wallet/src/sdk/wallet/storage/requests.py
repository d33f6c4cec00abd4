"""Units on ``proven_tx_reqs`` and on the status of everything signed: the only writers of either.

A request stands for one txid, whoever's it is; ``apply_evidence`` moves it, every user's transaction of that txid, the
inputs a revival takes back, and the children a failure takes along, in the unit it is called in (R1, R4, R24).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from sdk.core.errors import InternalError, InvalidOperation, StorageError
from sdk.service.database import Prepared
from sdk.service.logging import get_logger
from sdk.wallet.lifecycle import (
    TRANSACTION_TRANSITIONS,
    InvalidTransition,
    RequestStatus,
    TransactionStatus,
    initial_request_status,
    next_request_status,
    next_transaction_status,
    predicates,
)
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.request_notes import notify_text, with_note, with_notify
from sdk.wallet.storage.spends import children_of, spend_everywhere, take_inputs
from sdk.wallet.storage.tables import proven_tx_reqs, transactions
from sdk.wallet.storage.unsigned import fail_unsigned, unsigned_children_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sdk.service.database import Row, Unit

log = get_logger(__name__)

_R = proven_tx_reqs.c
_T = transactions.c

_SELECT = select(
    _R.provenTxReqId,
    _R.provenTxId,
    _R.txid,
    _R.status,
    _R.attempts,
    _R.history,
    _R.notify,
    _R.rawTx,
    _R.wasBroadcast,
    _R.rebroadcastAttempts,
    _R.batch,
).where(_R.txid == bindparam("wanted"))
_FIND, _LOCK = Prepared(_SELECT), Prepared(_SELECT.with_for_update())
_INSERT = Prepared(insert(proven_tx_reqs))
_CHANGE = Prepared(
    update(proven_tx_reqs)
    .where(_R.provenTxReqId == bindparam("id"), _R.status == bindparam("was"))
    .values(
        status=bindparam("to"),
        provenTxId=bindparam("proof"),
        attempts=bindparam("tries"),
        history=bindparam("notes"),
        wasBroadcast=bindparam("sent"),
        rebroadcastAttempts=bindparam("again"),
        updated_at=bindparam("now"),
    )
)
_NOTIFY = Prepared(
    update(proven_tx_reqs)
    .where(_R.provenTxReqId == bindparam("id"))
    .values(notify=bindparam("told"), updated_at=bindparam("now"))
)
_SET_BATCH = Prepared(
    update(proven_tx_reqs).where(_R.txid.in_(bindparam("txids", expanding=True))).values(batch=bindparam("name"))
)
_ROWS_OF_TXID = Prepared(
    select(_T.transactionId, _T.userId, _T.status).where(_T.txid == bindparam("wanted")).order_by(_T.transactionId)
)
_MOVE_ROWS = Prepared(
    update(transactions)
    .where(_T.transactionId.in_(bindparam("ids", expanding=True)), _T.status == bindparam("was"))
    .values(status=bindparam("to"), provenTxId=bindparam("proof"), updated_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Change:
    """What ``apply_evidence`` did. ``moved`` counts transaction rows; ``failed`` lists the txids that ended here, the
    subject first, then children; ``contested`` the outpoints a revival found spent by another transaction."""

    txid: str
    was: RequestStatus
    now: RequestStatus
    moved: int
    failed: tuple[str, ...] = ()
    contested: tuple[str, ...] = ()


def find_request(unit: Unit, txid: str) -> Row | None:
    """The request, to look at."""
    return unit.first(_FIND, wanted=txid)


def lock_request(unit: Unit, txid: str) -> Row | None:
    """The request, to change: other writers wait until this unit ends."""
    return unit.first(_LOCK, wanted=txid)


def request_status(row: Row) -> RequestStatus:
    """The row's status; a foreign word counts as ``unknown``, and is said (R6)."""
    status, known = RequestStatus.parse(row.status)
    if not known:
        log.warning("request has a status this release does not know", txid=row.txid, status=row.status)
    return status


def open_request(
    unit: Unit,
    *,
    txid: str,
    raw_tx: bytes,
    signed: by.SignedToHold | by.SignedToQueue | by.SignedToSend,
    now: datetime,
    transaction_ids: Sequence[int],
    input_beef: bytes | None = None,
    batch: str | None = None,
) -> RequestStatus:
    """Insert the request of a txid just signed or received, or join the one it has already (any user's).

    Joining a held one with the wish to send releases it (R44); nothing else about an existing request changes.
    """
    row = lock_request(unit, txid)
    if row is None:
        status = initial_request_status(signed)
        _insert(unit, txid, raw_tx, status, signed, now, transaction_ids, input_beef=input_beef, batch=batch)
        return status
    status = request_status(row)
    if not isinstance(signed, by.SignedToHold) and predicates.held(status):
        status = apply_evidence(unit, txid, by.SendRequested(), now=now).now
    unit.run(_NOTIFY, id=row.provenTxReqId, told=with_notify(row.notify, transaction_ids), now=now)
    return status


def restore_request(unit: Unit, *, txid: str, raw_tx: bytes, proof_id: int | None, now: datetime) -> None:
    """A finished request that was purged, back so that its transaction can be proven again (R2)."""
    note = {"what": "reopened"}
    unit.insert(
        _INSERT,
        created_at=now,
        updated_at=now,
        provenTxId=proof_id,
        status=RequestStatus.COMPLETED.value,
        attempts=0,
        notified=False,
        txid=txid,
        batch=None,
        history=with_note("{}", note, now),
        notify=notify_text([row.transactionId for row in unit.rows(_ROWS_OF_TXID, wanted=txid)]),
        rawTx=raw_tx,
        inputBEEF=None,
        wasBroadcast=True,
        rebroadcastAttempts=0,
    )


def request_send(unit: Unit, txids: Sequence[str], *, now: datetime, batch: str | None) -> None:
    """sendWith: held transactions join the queue as one batch. What is sent, mined or queued already stays as it is.

    Raises ``InvalidOperation`` for a txid that is not here or has failed.
    """
    for txid in txids:
        row = lock_request(unit, txid)
        if row is None:
            raise InvalidOperation(f"there is no transaction {txid} here to send")
        status = request_status(row)
        if predicates.terminal_failure(status):
            raise InvalidOperation(f"transaction {txid} has failed ({status.value}) and cannot be sent")
        if predicates.held(status):
            apply_evidence(unit, txid, by.SendRequested(), now=now)
    if batch is not None:
        unit.run(_SET_BATCH, txids=list(txids), name=batch)


def abort_request(unit: Unit, txid: str, evidence: by.UserAbort, *, now: datetime) -> Change:
    """The owner's abort of something signed. Raises ``InvalidOperation`` once it was ever posted from here (R45)."""
    row = lock_request(unit, txid)
    if row is None:
        raise InvalidOperation(f"there is no request for {txid}")
    if row.wasBroadcast:
        raise InvalidOperation(f"transaction {txid} was accepted by the network before and cannot be aborted")
    if len({each.userId for each in unit.rows(_ROWS_OF_TXID, wanted=txid)}) > 1:
        raise InvalidOperation(f"transaction {txid} has been received by another user and cannot be aborted")
    try:
        return apply_evidence(unit, txid, evidence, now=now)
    except InvalidTransition:
        raise InvalidOperation(
            f"transaction {txid} is {row.status}: only an action not yet shared with the network can be aborted"
        ) from None


def apply_evidence(
    unit: Unit, txid: str, evidence: by.Evidence, *, now: datetime, proof_id: int | None = None
) -> Change:
    """Move the request of ``txid``, and with it all that hangs on it.

    ``proof_id`` goes with ``VerifiedProof`` and only with it (R1). Raises ``InvalidTransition`` with nothing changed
    if the request has moved on meanwhile, or an end would leave a living row behind; ``InternalError`` if there is no
    such request.
    """
    if (proof_id is not None) != isinstance(evidence, by.VerifiedProof):
        raise InternalError("a proof row and the evidence of a verified proof go together (R1)")
    row = lock_request(unit, txid)
    if row is None:
        raise InternalError(f"there is no request for {txid}")
    was = request_status(row)
    status = next_request_status(was, evidence)
    moves = _plan_moves(unit, txid, evidence, ends=predicates.terminal_failure(status))
    _change(unit, row, status, evidence, now, proof_id=proof_id)
    moved = _make_moves(unit, txid, moves, proof_id, now)
    contested = take_inputs(unit, row.rawTx, moves.revived, now) if moves.revived else ()
    if isinstance(evidence, _POSITIVE):
        spend_everywhere(unit, txid, row.rawTx, now)
    failed = fail_children(unit, txid, now) if predicates.terminal_failure(status) else ()
    return Change(txid, was, status, moved, failed, tuple(contested))


def complete_transactions(
    unit: Unit, txid: str, raw_tx: bytes, evidence: by.VerifiedProof, proof_id: int, now: datetime
) -> int:
    """Link the rows of a proven transaction that has no open request; how many."""
    moves = _plan_moves(unit, txid, evidence, ends=False)
    moved = _make_moves(unit, txid, moves, proof_id, now)
    take_inputs(unit, raw_tx, moves.revived, now)
    spend_everywhere(unit, txid, raw_tx, now)
    return moved


def fail_children(unit: Unit, txid: str, now: datetime) -> tuple[str, ...]:
    """All that spends from ``txid``, which has failed, fails too, generation by generation (R24); it and those.

    Actions that are not signed yet fail with it, and free what else they had reserved.
    """
    failed, waiting, seen = [txid], [txid], {txid}
    for parent in waiting:
        for action in unsigned_children_of(unit, parent):
            fail_unsigned(unit, action.transactionId, action.status, by.ParentFailed(parent), now)
        for child in children_of(unit, parent):
            if child in seen:
                continue
            seen.add(child)
            if _fail_child(unit, parent, child, now):
                failed.append(child)
            waiting.append(child)
    return tuple(failed)


def _fail_child(unit: Unit, parent: str, child: str, now: datetime) -> bool:
    row = lock_request(unit, child)
    if row is None or predicates.terminal_failure(request_status(row)):
        return False
    evidence = by.ParentFailed(parent)
    try:
        status = next_request_status(request_status(row), evidence)
        moves = _plan_moves(unit, child, evidence, ends=True)
    except InvalidTransition:
        log.warning("the child of a failed transaction is proven", parent=parent, child=child, status=row.status)
        return False
    _change(unit, row, status, evidence, now)
    _make_moves(unit, child, moves, None, now)
    return True


def _insert(
    unit: Unit,
    txid: str,
    raw_tx: bytes,
    status: RequestStatus,
    evidence: by.Evidence,
    now: datetime,
    transaction_ids: Iterable[int],
    *,
    input_beef: bytes | None,
    batch: str | None,
) -> None:
    unit.insert(
        _INSERT,
        created_at=now,
        updated_at=now,
        provenTxId=None,
        status=status.value,
        attempts=0,
        notified=False,
        txid=txid,
        batch=batch,
        history=with_note("{}", evidence.note() | {"status_now": status.value}, now),
        notify=notify_text(transaction_ids),
        rawTx=raw_tx,
        inputBEEF=input_beef,
        wasBroadcast=False,
        rebroadcastAttempts=0,
    )


_COUNTED = (by.NoVerdict, by.ConditionUnmet, by.LateRejection)
_POSITIVE = (by.BroadcastAccepted, by.NetworkKnows, by.VerifiedProof)


def _change(
    unit: Unit, row: Row, status: RequestStatus, evidence: by.Evidence, now: datetime, *, proof_id: int | None = None
) -> None:
    note: dict[str, Any] = dict(evidence.note())
    if status.value != row.status:
        note |= {"status_was": row.status, "status_now": status.value}
    matched = unit.run(
        _CHANGE,
        id=row.provenTxReqId,
        was=row.status,
        to=status.value,
        proof=proof_id,
        tries=row.attempts + 1 if isinstance(evidence, _COUNTED) else _attempts(row, status),
        notes=with_note(row.history, note, now),
        sent=bool(row.wasBroadcast) or isinstance(evidence, _POSITIVE),
        again=row.rebroadcastAttempts + isinstance(evidence, by.ProofOverdue),
        now=now,
    )
    if matched != 1:
        raise StorageError(f"request {row.txid} changed while it was being changed (R4)")


def _attempts(row: Row, status: RequestStatus) -> int:
    """Attempts count within one status; only a repeated try in the same status adds to them (R17)."""
    return int(row.attempts) if status.value == row.status or status is RequestStatus.SENDING else 0


@dataclass(frozen=True, slots=True)
class _Moves:
    """Rows of a txid by the status they go to, as ``(was, to, rows)``."""

    steps: tuple[tuple[TransactionStatus, TransactionStatus, tuple[Row, ...]], ...]

    @property
    def revived(self) -> list[tuple[int, int]]:
        """``(userId, transactionId)`` of those that had failed and live again."""
        dead = (TransactionStatus.FAILED, TransactionStatus.UNFAIL)
        return [
            (r.userId, r.transactionId) for was, to, rows in self.steps if was in dead and to not in dead for r in rows
        ]


def _plan_moves(unit: Unit, txid: str, evidence: by.Evidence, *, ends: bool) -> _Moves:
    """What the evidence does to each user's row; rows it does not speak of stay.

    With ``ends`` no living row may be left behind: raises ``InvalidTransition``.
    """
    found: dict[TransactionStatus, list[Row]] = {}
    for row in unit.rows(_ROWS_OF_TXID, wanted=txid):
        found.setdefault(TransactionStatus.parse(row.status), []).append(row)
    steps = []
    for was, rows in found.items():
        if (was, type(evidence)) in TRANSACTION_TRANSITIONS:
            steps.append((was, next_transaction_status(was, evidence), tuple(rows)))
        elif ends and not predicates.terminal_failure(was):
            raise InvalidTransition(was, evidence)
    return _Moves(tuple(steps))


def _make_moves(unit: Unit, txid: str, moves: _Moves, proof_id: int | None, now: datetime) -> int:
    moved = 0
    for was, to, rows in moves.steps:
        ids = [row.transactionId for row in rows]
        matched = unit.run(_MOVE_ROWS, ids=ids, was=was.value, to=to.value, proof=proof_id, now=now)
        if matched != len(ids):
            raise StorageError(f"transactions of {txid} changed while they were being changed (R4)")
        moved += matched
    return moved
