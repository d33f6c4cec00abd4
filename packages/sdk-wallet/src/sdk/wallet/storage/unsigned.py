"""Units on actions that were begun and never signed: they have no txid, so nothing can have spent what they reserve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, update

from sdk.core.errors import StorageError
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import TransactionStatus, next_transaction_status
from sdk.wallet.storage.spends import release_unsigned_inputs
from sdk.wallet.storage.tables import outputs, transactions, wallet_pending_actions

if TYPE_CHECKING:
    from datetime import datetime

    from sdk.service.database import Row, Unit
    from sdk.wallet.lifecycle.evidence import Evidence

_O = outputs.c
_T = transactions.c

UNSIGNED = (TransactionStatus.UNSIGNED.value, TransactionStatus.UNPROCESSED.value)
NEVER_SIGNED = (_T.txid.is_(None), _T.rawTx.is_(None))

_SPENDING = Prepared(
    select(_T.transactionId, _T.status)
    .join(outputs, _O.spentBy == _T.transactionId)
    .where(_O.txid == bindparam("parent"), _T.status.in_(UNSIGNED), *NEVER_SIGNED)
    .distinct()
    .order_by(_T.transactionId)
)
_GIVE_UP = Prepared(
    update(transactions)
    .where(_T.transactionId == bindparam("id"), _T.status == bindparam("was"), *NEVER_SIGNED)
    .values(status=bindparam("to"), updated_at=bindparam("now"))
)
_FORGET_PENDING = Prepared(
    delete(wallet_pending_actions).where(wallet_pending_actions.c.transactionId == bindparam("id"))
)


def unsigned_children_of(unit: Unit, txid: str) -> list[Row]:
    """Actions (``transactionId, status``), of any user, that were to spend an output of ``txid`` held here."""
    return unit.rows(_SPENDING, parent=txid)


def fail_unsigned(unit: Unit, transaction_id: int, status: str, evidence: Evidence, now: datetime) -> int:
    """The action is failed, and what it had reserved is free; how many inputs that were.

    Raises ``StorageError`` if it has been signed meanwhile (R4).
    """
    target = next_transaction_status(TransactionStatus.parse(status), evidence)
    if unit.run(_GIVE_UP, id=transaction_id, was=status, to=target.value, now=now) != 1:
        raise StorageError(f"transaction {transaction_id} changed while it was being given up (R4)")
    unit.run(_FORGET_PENDING, id=transaction_id)
    return release_unsigned_inputs(unit, transaction_id, now=now)
