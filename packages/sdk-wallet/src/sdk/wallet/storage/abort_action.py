"""abortAction: an action that never left this wallet is given up and its inputs are free again (R7, R45)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, or_, select

from sdk.core.errors import InvalidOperation, InvalidParameter
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import TransactionStatus, predicates
from sdk.wallet.storage.requests import abort_request
from sdk.wallet.storage.spends import release_unsigned_inputs
from sdk.wallet.storage.tables import mine, outputs, transactions
from sdk.wallet.storage.unsigned import fail_unsigned

if TYPE_CHECKING:
    from datetime import datetime

    from sdk.service.database import Unit
    from sdk.wallet.lifecycle import evidence as by

_T = transactions.c
_O = outputs.c
_SPENDER = transactions.alias("spender")

_FIND = Prepared(
    select(_T.transactionId, _T.reference, _T.txid, _T.status, _T.isOutgoing).where(
        mine(transactions), or_(_T.reference == bindparam("wanted"), _T.txid == bindparam("wanted"))
    )
)
_LIVE_CHILD = Prepared(
    select(_SPENDER.c.reference)
    .select_from(outputs.join(_SPENDER, _SPENDER.c.transactionId == _O.spentBy))
    .where(_O.transactionId == bindparam("id"), _SPENDER.c.status != TransactionStatus.FAILED.value)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Abortable:
    """An action that may be given up. ``txid`` is set once it was signed: then the network can be asked first."""

    transaction_id: int
    reference: str
    txid: str | None
    status: TransactionStatus


def find_abortable(unit: Unit, user_id: int, reference: str) -> Abortable:
    """``reference`` may be the action's txid. Raises ``InvalidParameter`` or ``InvalidOperation``."""
    rows = unit.rows(_FIND, user=user_id, wanted=reference)
    if not rows:
        raise InvalidParameter("reference", "the reference or txid of an action of this wallet")
    row = next((each for each in rows if each.isOutgoing), rows[0])
    status = TransactionStatus.parse(row.status)
    if not row.isOutgoing or not predicates.may_abort(status):
        raise InvalidOperation(
            f"action {row.reference} is {row.status}; abortAction wants "
            "an inprocess, outgoing action that has not been signed and shared to the network."
        )
    return Abortable(row.transactionId, row.reference, row.txid, status)


def abort_action(unit: Unit, user_id: int, reference: str, evidence: by.UserAbort, now: datetime) -> None:
    """Give it up, if that is still possible. Raises as ``find_abortable`` does, with nothing changed."""
    found = find_abortable(unit, user_id, reference)
    child = unit.scalar(_LIVE_CHILD, id=found.transaction_id)
    if child is not None:
        raise InvalidOperation(f"action {child} spends its outputs: abort that one first")
    if found.txid is None:
        fail_unsigned(unit, found.transaction_id, found.status.value, evidence, now)
    else:
        abort_request(unit, found.txid, evidence, now=now)
        release_unsigned_inputs(unit, found.transaction_id, now=now)
