"""The one unit that ends a post: status, every user's rows, children, lease and the next date, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from sdk.service.database import Prepared
from sdk.wallet.lifecycle import InvalidTransition, RequestStatus, predicates
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.abandoned import review_later
from sdk.wallet.storage.request_claims import end_lease
from sdk.wallet.storage.requests import apply_evidence, fail_children, find_request, lock_request, request_status
from sdk.wallet.storage.tables import proven_tx_reqs, wallet_parents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sdk.core.wallet.fields import ReviewStatus
    from sdk.service.database import Unit
    from sdk.wallet.broadcasting.confirmation import Rival
    from sdk.wallet.storage.request_claims import Claimed

_R, _W = proven_tx_reqs.c, wallet_parents.c
_FAILED_PARENT = Prepared(
    select(_W.parentTxid)
    .join(proven_tx_reqs, _R.txid == _W.parentTxid)
    .where(
        _W.txid == bindparam("wanted"),
        _R.status.in_(sorted(status.value for status in predicates.REQUESTS_TERMINAL_FAILURE)),
    )
    .order_by(_W.parentTxid)
    .limit(1)
)
_HELD = Prepared(
    select(_R.txid)
    .where(
        _R.txid.in_(bindparam("txids", expanding=True)),
        _R.status.in_(sorted(status.value for status in predicates.REQUESTS_HELD)),
    )
    .order_by(_R.provenTxReqId)
)

_FINAL = (by.InvalidVerdict, by.DoubleSpendVerified)


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one transaction. ``result`` is the reference's word for the submitter; ``failed`` lists it and the
    children that failed with it; ``rivals`` are the competitors that were found."""

    txid: str
    result: ReviewStatus
    status: RequestStatus
    reason: str
    failed: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()

    @property
    def competing_txids(self) -> tuple[str, ...]:
        return tuple(rival.txid for rival in self.rivals)


def failed_parent(unit: Unit, txid: str) -> str | None:
    """A direct parent that failed for good, if there is one (R24)."""
    found: str | None = unit.scalar(_FAILED_PARENT, wanted=txid)
    return found


def fail_descendants(unit: Unit, txid: str, *, now: datetime) -> tuple[str, ...]:
    """If ``txid`` has failed, whatever was built on it since fails as well; which those are (R24)."""
    row = lock_request(unit, txid)
    if row is None or not predicates.terminal_failure(request_status(row)):
        return ()
    return fail_children(unit, txid, now)[1:]


def release_held(unit: Unit, txids: Sequence[str], *, now: datetime) -> list[str]:
    """Held transactions that are about to be posted in a child's BEEF are on their way as well (R19)."""
    held = [row.txid for row in unit.rows(_HELD, txids=list(txids))]
    for txid in held:
        apply_evidence(unit, txid, by.SendRequested(), now=now)
    return held


def held_among(unit: Unit, txids: Sequence[str]) -> bool:
    return bool(unit.rows(_HELD, txids=list(txids)))


def settle(
    unit: Unit,
    claimed: Claimed,
    evidence: by.Evidence,
    *,
    owner: str,
    now: datetime,
    retry_after: timedelta,
    propagated: bool,
    rivals: tuple[Rival, ...] = (),
) -> SendOutcome:
    """Apply what was learnt and give the lease back.

    If the lease was lost meanwhile, only good news and harmless notes are applied: whoever holds it now will know
    better. If the request has moved on (a proof came), it stays where it is (R3).
    """
    retry = isinstance(evidence, (by.NoVerdict, by.ConditionUnmet, by.LateRejection))
    next_send = now + retry_after if retry else None
    held = end_lease(unit, claimed, owner=owner, next_send=next_send, propagated=propagated)
    reason = str(evidence.note().get("reason", type(evidence).__name__))
    row = lock_request(unit, claimed.txid)
    status = RequestStatus.UNKNOWN if row is None else request_status(row)
    if row is None or (not held and isinstance(evidence, _FINAL)):
        return SendOutcome(claimed.txid, result_of(status), status, f"another worker took over; {reason}", (), rivals)
    try:
        change = apply_evidence(unit, claimed.txid, evidence, now=now)
    except InvalidTransition as moved_on:
        review_later(unit, claimed.request_id, now + retry_after)
        return SendOutcome(claimed.txid, result_of(status), status, str(moved_on), (), rivals)
    return SendOutcome(claimed.txid, result_of(change.now), change.now, reason, change.failed, rivals)


def result_of(status: RequestStatus) -> ReviewStatus:
    """``success | doubleSpend | invalidTx | serviceError`` (wallet-stack §2.3)."""
    if predicates.accepted_unproven(status) or predicates.final_mined(status):
        return "success"
    if status is RequestStatus.DOUBLE_SPEND:
        return "doubleSpend"
    return "invalidTx" if status is RequestStatus.INVALID else "serviceError"


def current_outcome(unit: Unit, txid: str) -> SendOutcome:
    """The outcome of a transaction that this worker did not post."""
    row = find_request(unit, txid)
    if row is None:
        return SendOutcome(txid, "serviceError", RequestStatus.UNKNOWN, "there is no request for it")
    status = request_status(row)
    return SendOutcome(txid, result_of(status), status, f"it is {status.value}")
