"""processAction in storage: is this the transaction that was asked for? Then it is recorded, to be sent or held.

The transaction, its request and its outputs change in one unit (R19, R79; spec/wallet-stack.md §3.4). Nothing is sent
from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update

from sdk.core.encodings import varint_size
from sdk.core.errors import InvalidOperation, InvalidParameter, StorageError
from sdk.core.fees import output_size
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import RequestStatus, TransactionStatus, next_transaction_status, predicates, signed_evidence
from sdk.wallet.storage.ancestry import parents_of, store_parents
from sdk.wallet.storage.requests import open_request, request_send
from sdk.wallet.storage.tables import (
    mine,
    outputs,
    proven_tx_reqs,
    raw,
    transactions,
    wallet_action_inputs,
    wallet_pending_actions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sdk.core.script import Script
    from sdk.core.transaction import Transaction
    from sdk.service.database import Row, Unit

_T = transactions.c
_O = outputs.c
_I = wallet_action_inputs.c

_FIND = Prepared(
    select(_T.transactionId, _T.status, _T.isOutgoing, _T.version, _T.lockTime, _T.txid)
    .where(_T.userId == bindparam("user"), _T.reference == bindparam("wanted"))
    .with_for_update()
)
_OUTPUTS = Prepared(
    select(_O.outputId, _O.vout, _O.satoshis, _O.purpose, raw(_O.lockingScript))
    .where(_O.transactionId == bindparam("transaction"), _O.userId == bindparam("user"))
    .order_by(_O.vout)
)
_RESERVED = Prepared(
    select(_T.txid, _O.vout)
    .join(transactions, _T.transactionId == _O.transactionId)
    .where(_O.spentBy == bindparam("transaction"), mine(outputs))
)
_NAMED = Prepared(
    select(_I.vin, _I.txid, _I.vout, _I.unlockingScriptLength)
    .where(_I.transactionId == bindparam("transaction"))
    .order_by(_I.vin)
)
_SIGNED = Prepared(
    update(transactions)
    .where(_T.transactionId == bindparam("id"), _T.status == bindparam("was"))
    .values(
        txid=bindparam("hash"),
        status=bindparam("to"),
        rawTx=None,
        inputBEEF=None,
        updated_at=bindparam("now"),
    )
)
_OUTPUT_SIGNED = Prepared(
    update(outputs)
    .where(_O.outputId == bindparam("id"))
    .values(
        txid=bindparam("hash"),
        spendable=bindparam("free"),
        scriptLength=bindparam("length"),
        scriptOffset=bindparam("start"),
        lockingScript=bindparam("script"),
        updated_at=bindparam("now"),
    )
)
_FORGET_PENDING = Prepared(
    delete(wallet_pending_actions).where(wallet_pending_actions.c.transactionId == bindparam("id"))
)
_OWNED = Prepared(
    select(_T.txid, _T.status, proven_tx_reqs.c.status.label("request"))
    .outerjoin(proven_tx_reqs, proven_tx_reqs.c.txid == _T.txid)
    .where(mine(transactions), _T.txid.in_(bindparam("txids", expanding=True)))
)

P2PKH_INPUT_SLACK = 1
"""Templates of other makers count 108 bytes where 107 suffice."""


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """``transaction`` is what was signed for ``reference``; ``None`` if there are only held ones to send."""

    user_id: int
    reference: str | None
    transaction: Transaction | None
    is_no_send: bool
    is_delayed: bool
    send_with: tuple[str, ...]
    batch: str
    max_output_script: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Processed:
    """``to_send`` are queued now; ``settled`` are txids named to be sent that are beyond that, with their status."""

    to_send: tuple[str, ...]
    settled: tuple[tuple[str, RequestStatus], ...]


def process_action(unit: Unit, request: ProcessRequest) -> Processed:
    """Raises ``InvalidParameter`` or ``InvalidOperation``; a repeated call after a lost answer changes nothing."""
    statuses = {} if request.transaction is None else _record(unit, request, request.transaction)
    if request.is_no_send and not request.send_with:
        return Processed((), ())
    statuses |= _statuses(unit, request.user_id, [txid for txid in request.send_with if txid not in statuses])
    wanted = tuple(statuses)
    for position, txid in enumerate(request.send_with):
        if txid not in statuses:
            raise InvalidParameter(f"sendWith[{position}]", "the txid of a signed action of this wallet")
    settled = {txid: status for txid, status in statuses.items() if not _can_send(status)}
    to_send = tuple(txid for txid in wanted if txid not in settled)
    held = [txid for txid in to_send if predicates.held(statuses[txid])]
    if held or len(to_send) > 1:
        request_send(unit, to_send, now=request.now, batch=request.batch if len(to_send) > 1 else None)
    return Processed(to_send, tuple(settled.items()))


def _can_send(status: RequestStatus) -> bool:
    return predicates.held(status) or predicates.waiting_to_send(status)


def _statuses(unit: Unit, user_id: int, txids: Sequence[str]) -> dict[str, RequestStatus]:
    """Of this user's transactions only (R65). A proven one needs no request any more."""
    found: dict[str, RequestStatus] = {}
    if not txids:
        return found
    for row in unit.rows(_OWNED, user=user_id, txids=list(txids)):
        if row.status == TransactionStatus.COMPLETED.value:
            found[row.txid] = RequestStatus.COMPLETED
        elif row.request is not None:
            found[row.txid] = RequestStatus.parse(row.request)[0]
    return found


def _record(unit: Unit, request: ProcessRequest, transaction: Transaction) -> dict[str, RequestStatus]:
    """The txid and the status of its request, which this opens unless an earlier call did."""
    row = unit.first(_FIND, user=request.user_id, wanted=request.reference)
    if row is None or not row.isOutgoing:
        raise InvalidParameter("reference", "the reference of an action of this wallet that is to be signed")
    txid = transaction.txid()
    if row.txid == txid:
        return _statuses(unit, request.user_id, [txid])
    status = TransactionStatus.parse(row.status)
    if status is not TransactionStatus.UNSIGNED:
        raise InvalidOperation(f"action {request.reference} is {row.status}; only an unsigned one can be processed")
    stored = unit.rows(_OUTPUTS, transaction=row.transactionId, user=request.user_id)
    _check_frame(row, transaction)
    _check_outputs(stored, transaction)
    named = unit.rows(_NAMED, transaction=row.transactionId)
    reserved = unit.rows(_RESERVED, transaction=row.transactionId, user=request.user_id)
    _check_inputs(named, reserved, transaction)
    return {txid: _store(unit, request, row, stored, transaction)}


def _check_frame(row: Row, transaction: Transaction) -> None:
    if transaction.version & 0xFFFFFFFF != row.version or transaction.lock_time != row.lockTime:
        raise _not_as_asked(f"version {row.version} and lock time {row.lockTime}")


def _check_outputs(stored: Sequence[Row], transaction: Transaction) -> None:
    """Byte for byte what createAction recorded; change, whose script is the client's to derive, is P2PKH (R79)."""
    signed = transaction.outputs
    if len(signed) != len(stored):
        raise _not_as_asked(f"{len(stored)} outputs, not {len(signed)}")
    for row, output in zip(stored, signed, strict=True):
        if output.satoshis != row.satoshis:
            raise _not_as_asked(f"{row.satoshis} satoshis in output {row.vout}, not {output.satoshis}")
        if row.lockingScript is None:
            if not output.locking_script.is_p2pkh():
                raise _not_as_asked(f"a P2PKH script in change output {row.vout}")
        elif output.locking_script.to_bytes() != row.lockingScript:
            raise _not_as_asked(f"the locking script it was asked for in output {row.vout}")


def _check_inputs(named: Sequence[Row], reserved: Sequence[Row], transaction: Transaction) -> None:
    """The named inputs at their places, then the reserved coins, each once, and nothing else."""
    signed = transaction.inputs
    coins = {(row.txid, row.vout) for row in reserved} - {(row.txid, row.vout) for row in named}
    if len(signed) != len(named) + len(coins):
        raise _not_as_asked(f"{len(named) + len(coins)} inputs, not {len(signed)}")
    for row in named:
        given = signed[row.vin]
        if (given.outpoint.txid, given.outpoint.vout) != (row.txid, row.vout):
            raise _not_as_asked(f"{row.txid}.{row.vout} as input {row.vin}")
        _check_length(row.vin, given.unlocking_script, row.unlockingScriptLength)
    for vin, given in enumerate(signed[len(named) :], len(named)):
        if (given.outpoint.txid, given.outpoint.vout) not in coins:
            raise _not_as_asked(f"coins of this action as inputs; input {vin} spends {given.outpoint}")
        coins.discard((given.outpoint.txid, given.outpoint.vout))


def _check_length(vin: int, script: Script, declared: int) -> None:
    """A longer script would pay less than the fee that was agreed."""
    if len(script) > declared + P2PKH_INPUT_SLACK:
        raise _not_as_asked(f"an unlocking script of at most {declared} bytes in input {vin}, not {len(script)}")


def _not_as_asked(wanted: str) -> InvalidParameter:
    return InvalidParameter("rawTx", f"the transaction createAction described, with {wanted}")


def _store(
    unit: Unit, request: ProcessRequest, row: Row, stored: Sequence[Row], transaction: Transaction
) -> RequestStatus:
    txid, now = transaction.txid(), request.now
    evidence = signed_evidence(no_send=request.is_no_send and not request.send_with, delayed=request.is_delayed)
    target = next_transaction_status(TransactionStatus.UNSIGNED, evidence)
    if unit.run(_SIGNED, id=row.transactionId, was=row.status, hash=txid, to=target.value, now=now) != 1:
        raise StorageError(f"action {request.reference} changed while it was being processed (R4)")
    unit.run_many(_OUTPUT_SIGNED, _output_rows(request, stored, transaction, txid))
    status = open_request(
        unit,
        txid=txid,
        raw_tx=transaction.to_bytes(),
        signed=evidence,
        now=now,
        transaction_ids=[row.transactionId],
    )
    store_parents(unit, txid, parents_of(transaction))
    unit.run(_FORGET_PENDING, id=row.transactionId)
    return status


def _output_rows(
    request: ProcessRequest, stored: Sequence[Row], transaction: Transaction, txid: str
) -> list[dict[str, Any]]:
    """A script longer than the settings allow stays in the transaction alone."""
    rows = []
    start = transaction.size() - 4 - sum(output_size(len(each.locking_script)) for each in transaction.outputs)
    for row, output in zip(stored, transaction.outputs, strict=True):
        script = output.locking_script.to_bytes()
        start += 8 + varint_size(len(script))
        rows.append(
            {
                "id": row.outputId,
                "hash": txid,
                "free": row.purpose != "storage-commission",
                "length": len(script),
                "start": start,
                "script": script if len(script) <= request.max_output_script else None,
                "now": request.now,
            }
        )
        start += len(script)
    return rows
