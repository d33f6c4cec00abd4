"""The inputs a caller of createAction names: what they spend, and whether they may (spec/wallet-stack.md §3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, true, update

from sdk.core.errors import InvalidParameter, ReviewActions
from sdk.service.database import Prepared
from sdk.wallet.errors import AncestryIncomplete
from sdk.wallet.lifecycle import TransactionStatus
from sdk.wallet.storage.ancestry import Ancestry, beef_of
from sdk.wallet.storage.batches import batches
from sdk.wallet.storage.tables import mine, outputs, raw, transactions, wallet_action_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter

    from sdk.core.transaction import Transaction
    from sdk.core.wallet import ValidCreateActionInput, WireOutPoint
    from sdk.service.database import Row, Unit
    from sdk.wallet.storage.ancestry import Material

_O = outputs.c
_T = transactions.c
_SPENDER = transactions.alias("spender")
_I = wallet_action_inputs.c
_TXIDS: BindParameter[Any] = bindparam("txids", expanding=True)

_STORED = Prepared(
    select(
        _O.outputId,
        _T.txid,
        _T.status,
        _O.vout,
        _O.satoshis,
        _O.basketId,
        raw(_O.change),
        raw(_O.spendable),
        _O.spentBy,
        _O.providedBy,
        _O.purpose,
        _O.type,
        raw(_O.lockingScript),
        _O.scriptLength,
        _O.scriptOffset,
        _O.derivationPrefix,
        _O.derivationSuffix,
        _O.senderIdentityKey,
        _SPENDER.c.txid.label("spender"),
        _SPENDER.c.status.label("spenderStatus"),
    )
    .select_from(
        outputs.join(transactions, _T.transactionId == _O.transactionId).outerjoin(
            _SPENDER, _SPENDER.c.transactionId == _O.spentBy
        )
    )
    .where(
        mine(outputs),
        mine(transactions),
        _T.txid.in_(_TXIDS),
        _O.vout.in_(bindparam("vouts", expanding=True)),
    )
)
_NAMED_BEFORE = Prepared(
    select(_I.txid, _I.vout, _T.txid.label("spender"))
    .join(transactions, _T.transactionId == _I.transactionId)
    .where(
        _T.userId == bindparam("user"),
        _I.txid.in_(_TXIDS),
        _T.txid.is_not(None),
        _T.status != TransactionStatus.FAILED.value,
    )
)
_RESERVE_NAMED = Prepared(
    update(outputs)
    .where(
        _O.outputId == bindparam("id"),
        _O.userId == bindparam("user"),
        _O.spendable == true(),
        _O.spentBy.is_(None),
    )
    .values(
        spendable=False,
        spentBy=bindparam("spender"),
        spendingDescription=bindparam("description"),
        sequenceNumber=bindparam("sequence"),
        updated_at=bindparam("now"),
    )
)
_INSERT = Prepared(insert(wallet_action_inputs))

_SPENDABLE = frozenset(
    status.value
    for status in (
        TransactionStatus.COMPLETED,
        TransactionStatus.UNPROVEN,
        TransactionStatus.SENDING,
        TransactionStatus.UNPROCESSED,
        TransactionStatus.NOSEND,
    )
)


@dataclass(frozen=True, slots=True)
class InputEvidence:
    """What a verified inputBEEF says: its transactions by txid, and the rows worth keeping of it."""

    transactions: Mapping[str, Transaction] = field(default_factory=dict)
    ancestry: Ancestry = field(default_factory=lambda: Ancestry((), (), ()))


@dataclass(frozen=True, slots=True)
class NamedInput:
    """``row`` is the stored output of this user, if it is one; else ``script`` comes from the BEEF."""

    vin: int
    given: ValidCreateActionInput
    satoshis: int
    script: bytes | None
    row: Row | None

    @property
    def txid(self) -> str:
        return self.given.outpoint.txid

    def locking_script(self, material: Material) -> bytes:
        if self.script is not None:
            return self.script
        return stored_script(self.row, material)


def stored_script(row: Row | None, material: Material) -> bytes:
    """The locking script of a stored output; a long one is cut out of its transaction."""
    assert row is not None, "an input is either stored or comes with its script"
    if row.lockingScript is not None:
        return bytes(row.lockingScript)
    if row.txid not in material:
        raise AncestryIncomplete(row.txid)
    start = row.scriptOffset
    return material[row.txid][0][start : start + row.scriptLength]


def find_stored(unit: Unit, user_id: int, outpoints: Sequence[WireOutPoint]) -> dict[tuple[str, int], Row]:
    """This user's stored outputs among ``outpoints``."""
    if not outpoints:
        return {}
    wanted = {(each.txid, each.vout) for each in outpoints}
    found = {}
    for some in batches(list(wanted)):
        txids, vouts = list({txid for txid, _ in some}), list({vout for _, vout in some})
        for row in unit.rows(_STORED, user=user_id, txids=txids, vouts=vouts):
            if (row.txid, row.vout) in wanted:
                found[row.txid, row.vout] = row
    return found


def resolve_inputs(
    unit: Unit, user_id: int, given: Sequence[ValidCreateActionInput], evidence: InputEvidence
) -> list[NamedInput]:
    """Raises ``InvalidParameter`` (``inputs[i]``) for what may not be spent, ``ReviewActions`` for what is spent."""
    stored = find_stored(unit, user_id, [each.outpoint for each in given])
    named = []
    for vin, each in enumerate(given):
        row = stored.get((each.outpoint.txid, each.outpoint.vout))
        if row is None:
            named.append(_foreign(vin, each, evidence))
        else:
            _check_stored(unit, vin, row)
            named.append(NamedInput(vin, each, row.satoshis, row.lockingScript, row))
    _check_not_spent_before(unit, user_id, [each for each in named if each.row is None])
    return named


def _foreign(vin: int, given: ValidCreateActionInput, evidence: InputEvidence) -> NamedInput:
    source = evidence.transactions.get(given.outpoint.txid)
    if source is None:
        raise InvalidParameter(
            "inputBEEF", f"a BEEF that holds transaction {given.outpoint.txid}, which inputs[{vin}] spends"
        )
    if given.outpoint.vout >= source.output_count():
        raise InvalidParameter(
            f"inputs[{vin}].outpoint", f"one of the {source.output_count()} outputs of its transaction"
        )
    output = source.outputs[given.outpoint.vout]
    return NamedInput(vin, given, output.satoshis, output.locking_script.to_bytes(), None)


def _check_stored(unit: Unit, vin: int, row: Row) -> None:
    name = f"inputs[{vin}]"
    if row.change:
        raise InvalidParameter(name, "an unmanaged input. Change outputs are managed by your wallet.")
    if row.spender is not None and row.spenderStatus != TransactionStatus.FAILED.value:
        raise spent_already(unit, row.spender)
    if row.spentBy is not None or not row.spendable or row.status not in _SPENDABLE:
        raise InvalidParameter(name, f"a spendable output; {row.txid}.{row.vout} is reserved, spent or not yet sent")


def _check_not_spent_before(unit: Unit, user_id: int, named: Sequence[NamedInput]) -> None:
    """A foreign output has no row to reserve; what this user signed before says whether it is used."""
    if not named:
        return
    spenders = {
        (row.txid, row.vout): row.spender
        for some in batches(list({each.txid for each in named}))
        for row in unit.rows(_NAMED_BEFORE, user=user_id, txids=some)
    }
    for each in named:
        spender = spenders.get((each.txid, each.given.outpoint.vout))
        if spender is not None:
            raise spent_already(unit, spender)


def spent_already(unit: Unit, spender: str) -> ReviewActions:
    """This user spent the output before, in transaction ``spender``."""
    result: dict[str, Any] = {"txid": "", "status": "doubleSpend", "competingTxs": [spender]}
    try:
        result["competingBeef"] = list(beef_of(unit, [spender]).to_bytes())
    except AncestryIncomplete as incomplete:
        return ReviewActions([result], [], message=f"An input is spent already. {incomplete}")
    return ReviewActions([result], [])


def reserve_named(unit: Unit, user_id: int, named: Sequence[NamedInput], spender: int, now: datetime) -> None:
    """Compare-and-set on the stored ones, each with what it is spent for (R25)."""
    rows = [
        {
            "id": each.row.outputId,
            "user": user_id,
            "spender": spender,
            "description": each.given.input_description,
            "sequence": each.given.sequence_number,
            "now": now,
        }
        for each in named
        if each.row is not None
    ]
    if rows and unit.run_many(_RESERVE_NAMED, rows) != len(rows):
        raise InvalidParameter("inputs", "spendable outputs; one was taken by another action meanwhile")


def record_named(unit: Unit, named: Sequence[NamedInput], spender: int, material: Material) -> None:
    """Remember what the signed transaction must spend (R79)."""
    unit.run_many(
        _INSERT,
        [
            {
                "transactionId": spender,
                "vin": each.vin,
                "txid": each.txid,
                "vout": each.given.outpoint.vout,
                "satoshis": each.satoshis,
                "lockingScript": each.locking_script(material),
                "sequenceNumber": each.given.sequence_number,
                "unlockingScriptLength": each.given.unlocking_script_length,
                "inputDescription": each.given.input_description,
            }
            for each in named
        ],
    )
