"""What must hold between the rows at any time. ``find_faults`` looks; it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, false, literal, or_, select, true

from sdk.core.transaction import Transaction
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import RequestStatus as R
from sdk.wallet.lifecycle import TransactionStatus as T
from sdk.wallet.lifecycle import predicates
from sdk.wallet.storage.tables import outputs, proven_tx_reqs, proven_txs, raw, transactions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Select

    from sdk.service.database import Unit

_T, _O, _R, _P = transactions.c, outputs.c, proven_tx_reqs.c, proven_txs.c
_SPENDER = transactions.alias("spender")


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that breaks ``rule``. ``key`` names it: ``transactions 12``, ``outputs 5``, ``proven_tx_reqs 3``."""

    rule: str
    key: str


def _words(statuses: Iterable[T | R]) -> list[str]:
    return sorted(status.value for status in statuses)


def _rule(rule: str, key: Any, table: str, statement: Select[Any]) -> Prepared:
    found = statement.add_columns(literal(rule).label("rule"), literal(table).label("kind"), key.label("key"))
    return Prepared(found.order_by(key).limit(bindparam("most")))


_SIGNED = _words(predicates.TRANSACTIONS_HELD | predicates.TRANSACTIONS_IN_FLIGHT | predicates.TRANSACTIONS_FINAL_MINED)
_RULES: Sequence[Prepared] = (
    _rule(
        "R1: a transaction is completed exactly when it has a proof, of its own txid",
        _T.transactionId,
        "transactions",
        select()
        .select_from(transactions.outerjoin(proven_txs, _P.provenTxId == _T.provenTxId))
        .where(
            or_(
                and_(_T.status == T.COMPLETED.value, _P.provenTxId.is_(None)),
                and_(_T.status != T.COMPLETED.value, _T.provenTxId.is_not(None)),
                _P.txid != _T.txid,
            )
        ),
    ),
    _rule(
        "R1: a request is completed exactly when it has a proof",
        _R.provenTxReqId,
        "proven_tx_reqs",
        select().select_from(proven_tx_reqs).where((_R.status == R.COMPLETED.value) != (_R.provenTxId.is_not(None))),
    ),
    _rule(
        "R2: what is signed and not proven has a request",
        _T.transactionId,
        "transactions",
        select()
        .select_from(transactions.outerjoin(proven_tx_reqs, _R.txid == _T.txid))
        .where(_T.status.in_(_SIGNED), _T.status != T.COMPLETED.value, _R.provenTxReqId.is_(None)),
    ),
    _rule(
        "R4: a transaction and its request agree",
        _T.transactionId,
        "transactions",
        select()
        .select_from(transactions.join(proven_tx_reqs, _R.txid == _T.txid))
        .where(
            or_(
                and_(_T.status == T.UNPROVEN.value, _R.status.not_in(_words(predicates.REQUESTS_ACCEPTED_UNPROVEN))),
                and_(
                    _T.status.in_(_words(predicates.TRANSACTIONS_TO_SEND)),
                    _R.status.in_(_words(predicates.REQUESTS_TERMINAL_FAILURE | predicates.REQUESTS_FINAL_MINED)),
                ),
                and_(_T.status == T.FAILED.value, _R.status.in_(_words(predicates.REQUESTS_IN_FLIGHT))),
                and_(_T.status == T.COMPLETED.value, _R.status != R.COMPLETED.value),
            )
        ),
    ),
    _rule(
        "an unsigned transaction has no txid, a signed one has",
        _T.transactionId,
        "transactions",
        select()
        .select_from(transactions)
        .where(
            or_(
                and_(_T.status == T.UNSIGNED.value, _T.txid.is_not(None)),
                and_(_T.status.in_(_SIGNED), _T.txid.is_(None)),
            )
        ),
    ),
    _rule(
        "R39: an output is spendable or reserved, not both",
        _O.outputId,
        "outputs",
        select().select_from(outputs).where(_O.spendable == true(), _O.spentBy.is_not(None)),
    ),
    _rule(
        "R24: nothing alive spends an output of what failed",
        _O.outputId,
        "outputs",
        select()
        .select_from(
            outputs.join(transactions, _T.transactionId == _O.transactionId).join(
                _SPENDER, _SPENDER.c.transactionId == _O.spentBy
            )
        )
        .where(_T.status == T.FAILED.value, _SPENDER.c.status.not_in((T.FAILED.value, T.UNFAIL.value))),
    ),
    _rule(
        "an output of a signed transaction knows its txid and its script",
        _O.outputId,
        "outputs",
        select()
        .select_from(outputs.join(transactions, _T.transactionId == _O.transactionId))
        .where(
            _T.status.in_(_SIGNED),
            or_(_O.txid.is_(None), _O.txid != _T.txid, and_(_O.lockingScript.is_(None), _O.scriptLength.is_(None))),
        ),
    ),
    _rule(
        "no output of an unsigned transaction is spendable",
        _O.outputId,
        "outputs",
        select()
        .select_from(outputs.join(transactions, _T.transactionId == _O.transactionId))
        .where(_T.status == T.UNSIGNED.value, _O.spendable != false()),
    ),
)
_SPENT = Prepared(
    select(_O.outputId, _O.txid, _O.vout, _SPENDER.c.txid.label("spender"), raw(_R.rawTx))
    .select_from(
        outputs.join(_SPENDER, _SPENDER.c.transactionId == _O.spentBy).join(proven_tx_reqs, _R.txid == _SPENDER.c.txid)
    )
    .where(_O.outputId > bindparam("after"))
    .order_by(_O.outputId)
    .limit(bindparam("most"))
)


def find_faults(unit: Unit, *, most: int = 100) -> list[Fault]:
    """Up to ``most`` faults of each rule."""
    found = [Fault(row.rule, f"{row.kind} {row.key}") for rule in _RULES for row in unit.rows(rule, most=most)]
    return found + _wrong_spenders(unit, most)


def _wrong_spenders(unit: Unit, most: int) -> list[Fault]:
    """Outputs whose spender, by its own bytes, does not spend them; read in pages."""
    faults: list[Fault] = []
    after = 0
    while len(faults) < most and (rows := unit.rows(_SPENT, after=after, most=500)):
        for row in rows:
            spent = {(digest[::-1].hex(), vout) for digest, vout in Transaction.from_bytes(row.rawTx).sources()}
            if (row.txid, row.vout) not in spent:
                faults.append(Fault("an output is spent by the transaction that names it", f"outputs {row.outputId}"))
        after = rows[-1].outputId
    return faults
