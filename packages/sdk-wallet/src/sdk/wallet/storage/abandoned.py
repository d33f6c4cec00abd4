"""Units of the clean-up: what was never signed is given up, and what failed is asked for the inputs it still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, or_, select

from sdk.service.database import Prepared
from sdk.wallet.lifecycle import TransactionStatus, predicates
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.lifecycle_tables import wallet_request_schedule
from sdk.wallet.storage.request_claims import upsert_schedule
from sdk.wallet.storage.tables import outputs, proven_tx_reqs, transactions
from sdk.wallet.storage.unsigned import NEVER_SIGNED, UNSIGNED, fail_unsigned

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sdk.service.database import Row, Unit

_O = outputs.c
_R = proven_tx_reqs.c
_S = wallet_request_schedule.c
_T = transactions.c

_ABANDONED = Prepared(
    select(_T.transactionId, _T.status, _T.updated_at)
    .where(_T.status.in_(UNSIGNED), _T.updated_at < bindparam("before"), *NEVER_SIGNED)
    .order_by(_T.updated_at, _T.transactionId)
    .limit(bindparam("most"))
)
_source = transactions.alias("source")
_HOLDING = Prepared(
    select(_R.provenTxReqId, _R.txid, _R.rawTx)
    .join(wallet_request_schedule, _S.provenTxReqId == _R.provenTxReqId, isouter=True)
    .where(
        _R.status.in_(sorted(status.value for status in predicates.REQUESTS_TERMINAL_FAILURE)),
        or_(_S.nextSend.is_(None), _S.nextSend <= bindparam("now")),
        exists()
        .where(_T.txid == _R.txid, _T.status == TransactionStatus.FAILED.value, _O.spentBy == _T.transactionId)
        .where(_source.c.transactionId == _O.transactionId, _source.c.status != TransactionStatus.FAILED.value),
    )
    .order_by(_R.provenTxReqId)
    .limit(bindparam("most"))
)
_REVIEW_LATER = upsert_schedule("nextSend")


def give_up_abandoned(unit: Unit, *, now: datetime, older_than: timedelta, limit: int) -> tuple[int, int]:
    """Fail actions that were begun and never signed; ``(actions failed, inputs released)`` (R47)."""
    released = 0
    rows = unit.rows(_ABANDONED, before=now - older_than, most=limit)
    for row in rows:
        idle = by.AbandonedUnsigned(int((now - row.updated_at).total_seconds()))
        released += fail_unsigned(unit, row.transactionId, row.status, idle, now)
    return len(rows), released


def failed_that_hold_inputs(unit: Unit, *, now: datetime, limit: int) -> list[Row]:
    """``provenTxReqId, txid, rawTx`` of failed requests whose inputs nobody has given a verdict on, and are due."""
    return unit.rows(_HOLDING, now=now, most=limit)


def review_later(unit: Unit, request_id: int, when: datetime) -> None:
    unit.run(_REVIEW_LATER, provenTxReqId=request_id, nextSend=when)
