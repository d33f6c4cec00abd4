"""Who spends what: inputs freed, evicted or taken back, each on the evidence its function names (R28, R29)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from sdk.core.transaction import Transaction
from sdk.service.database import Prepared
from sdk.wallet.lifecycle.statuses import TransactionStatus
from sdk.wallet.storage.tables import outputs, transactions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sdk.core.transaction import OutPoint
    from sdk.service.database import Row, Unit

_O = outputs.c
_T = transactions.c

_CHILDREN = Prepared(
    select(_T.txid)
    .join(outputs, _O.spentBy == _T.transactionId)
    .where(_O.txid == bindparam("parent"), _T.txid.is_not(None))
    .distinct()
    .order_by(_T.txid)
)
_RELEASE_ALL = Prepared(
    update(outputs)
    .where(_O.spentBy == bindparam("spender"), _O.spendable.is_(False))
    .values(spendable=True, spentBy=None, updated_at=bindparam("now"))
)
_SOURCE = transactions.alias("source")
_HELD_BY_TXID = Prepared(
    select(_O.outputId, _O.txid, _O.vout, _O.lockingScript, _O.userId)
    .join(transactions, _O.spentBy == _T.transactionId)
    .join(_SOURCE, _O.transactionId == _SOURCE.c.transactionId)
    .where(
        _T.txid == bindparam("spender"),
        _T.status == TransactionStatus.FAILED.value,
        _SOURCE.c.status != TransactionStatus.FAILED.value,
    )
    .order_by(_O.outputId)
)
_SPENDERS = select(_T.transactionId).where(_T.txid == bindparam("spender"), _T.status == TransactionStatus.FAILED.value)
_FREE = Prepared(
    update(outputs)
    .where(
        _O.txid == bindparam("source"),
        _O.vout == bindparam("position"),
        _O.spendable.is_(False),
        _O.spentBy.in_(_SPENDERS),
    )
    .values(spendable=True, spentBy=None, updated_at=bindparam("now"))
)
_EVICT = Prepared(
    update(outputs)
    .where(
        _O.txid == bindparam("source"),
        _O.vout == bindparam("position"),
        (_O.spentBy.is_(None)) | (_O.spentBy.in_(_SPENDERS)),
    )
    .values(spendable=False, spentBy=None, updated_at=bindparam("now"))
)
_TAKE = Prepared(
    update(outputs)
    .where(
        _O.userId == bindparam("user"),
        _O.txid == bindparam("source"),
        _O.vout == bindparam("position"),
        (_O.spentBy.is_(None)) | (_O.spentBy == bindparam("spender")),
    )
    .values(spendable=False, spentBy=bindparam("spender"), updated_at=bindparam("now"))
)
_PUT_ASIDE = Prepared(
    update(outputs)
    .where(_O.txid == bindparam("source"), _O.vout == bindparam("position"), _O.spendable.is_(True))
    .values(spendable=False, updated_at=bindparam("now"))
)
_OWN = Prepared(
    select(_O.outputId).where(
        _O.userId == bindparam("user"), _O.txid == bindparam("source"), _O.vout == bindparam("position")
    )
)
_STILL_FREE = Prepared(
    select(_O.outputId, _T.transactionId)
    .outerjoin(transactions, (_T.userId == _O.userId) & (_T.txid == bindparam("spender")))
    .where(_O.txid == bindparam("source"), _O.vout == bindparam("position"), _O.spendable.is_(True))
)
_SPEND = Prepared(
    update(outputs)
    .where(_O.outputId == bindparam("id"))
    .values(spendable=False, spentBy=bindparam("by"), updated_at=bindparam("now"))
)


def children_of(unit: Unit, txid: str) -> list[str]:
    """Txids, of any user, that spend an output of ``txid`` held here."""
    return [row.txid for row in unit.rows(_CHILDREN, parent=txid)]


def release_unsigned_inputs(unit: Unit, transaction_id: int, *, now: datetime) -> int:
    """All inputs of a transaction that was never signed, so that nothing can have spent them (R47), or that its owner
    gave up before it was ever posted from here (R45)."""
    return unit.run(_RELEASE_ALL, spender=transaction_id, now=now)


def inputs_held_by_failed(unit: Unit, txid: str) -> list[Row]:
    """Outputs (``outputId, txid, vout, lockingScript, userId``) that failed transactions of ``txid`` keep reserved.

    Outputs of what failed itself are not among them: they stay quarantined (R24).
    """
    return unit.rows(_HELD_BY_TXID, spender=txid)


def free_input(unit: Unit, failed_txid: str, outpoint: OutPoint, *, now: datetime) -> int:
    """Somebody looked, and the outpoint is unspent: rows that ``failed_txid`` reserved are spendable again (R28)."""
    return unit.run(_FREE, spender=failed_txid, source=outpoint.txid, position=outpoint.vout, now=now)


def evict_input(unit: Unit, failed_txid: str, outpoint: OutPoint, *, now: datetime) -> int:
    """Somebody looked, and the outpoint is spent: nobody's row of it may fund anything again (R29)."""
    return unit.run(_EVICT, spender=failed_txid, source=outpoint.txid, position=outpoint.vout, now=now)


def put_aside(unit: Unit, outpoint: OutPoint, *, now: datetime) -> int:
    """Somebody looked, and what nobody here spends is spent: no row of it may fund anything again (R29)."""
    return unit.run(_PUT_ASIDE, source=outpoint.txid, position=outpoint.vout, now=now)


def take_inputs(unit: Unit, raw_tx: bytes, spenders: Sequence[tuple[int, int]], now: datetime) -> list[str]:
    """Reserve again what a revived (or received) transaction spends, for each ``(userId, transactionId)``.

    Returns the outpoints that another transaction of that user has spent meanwhile; they stay as they are.
    """
    contested = []
    for each in Transaction.from_bytes(raw_tx).inputs:
        for user, spender in spenders:
            place = {"user": user, "source": each.outpoint.txid, "position": each.outpoint.vout}
            if unit.run(_TAKE, spender=spender, now=now, **place) == 0 and unit.first(_OWN, **place) is not None:
                contested.append(str(each.outpoint))
    return contested


def spend_everywhere(unit: Unit, txid: str, raw_tx: bytes, now: datetime) -> None:
    """The network has ``txid``: what it spends may fund nothing more, whichever user here holds it (R30)."""
    for each in Transaction.from_bytes(raw_tx).inputs:
        for row in unit.rows(_STILL_FREE, spender=txid, source=each.outpoint.txid, position=each.outpoint.vout):
            unit.run(_SPEND, id=row.outputId, by=row.transactionId, now=now)
