"""The unit of internalizeAction: transaction, request or proof, outputs and inputs, together (R30, R42-R44)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from sdk.core.encodings import varint_size
from sdk.core.errors import InvalidOperation
from sdk.core.fees import output_size
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import RequestStatus, TransactionStatus, predicates
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.ancestry import store_ancestry, store_parents
from sdk.wallet.storage.names import (
    BASKETS,
    DEFAULT_BASKET,
    DEFAULT_MINIMUM,
    DEFAULT_WANTED,
    add_labels,
    add_tags,
    ensure_baskets,
)
from sdk.wallet.storage.proofs import find_stored_proof, record_proof
from sdk.wallet.storage.requests import lock_request, open_request, request_status
from sdk.wallet.storage.spends import take_inputs
from sdk.wallet.storage.tables import mine, outputs, transactions

if TYPE_CHECKING:
    from datetime import datetime

    from sdk.core.transaction import Transaction
    from sdk.core.wallet import InternalizeActionArgs, InternalizeOutput
    from sdk.service.database import Row, Unit
    from sdk.wallet.storage.ancestry import Ancestry
    from sdk.wallet.storage.proofs import Proof

_T = transactions.c
_O = outputs.c

_FIND = Prepared(
    select(_T.transactionId, _T.status)
    .where(mine(transactions), _T.txid == bindparam("wanted"))
    .order_by(_T.transactionId)
    .with_for_update()
)
_INSERT = Prepared(insert(transactions))
_ADD = Prepared(
    update(transactions)
    .where(_T.transactionId == bindparam("id"))
    .values(satoshis=_T.satoshis + bindparam("more"), updated_at=bindparam("now"))
)
_OUTPUTS = Prepared(
    select(_O.outputId, _O.vout, _O.change, _O.derivationPrefix, _O.basketId).where(
        mine(outputs), _O.transactionId == bindparam("transaction")
    )
)
_INSERT_OUTPUT = Prepared(insert(outputs))
_TO_PAYMENT = Prepared(
    update(outputs)
    .where(_O.outputId == bindparam("id"))
    .values(
        basketId=bindparam("basket"),
        type="P2PKH",
        change=True,
        purpose="change",
        providedBy="storage",
        senderIdentityKey=bindparam("sender"),
        derivationPrefix=bindparam("prefix"),
        derivationSuffix=bindparam("suffix"),
        customInstructions=None,
        updated_at=bindparam("now"),
    )
)
_TO_BASKET = Prepared(
    update(outputs)
    .where(_O.outputId == bindparam("id"))
    .values(
        basketId=bindparam("basket"),
        type="custom",
        change=False,
        purpose="",
        providedBy="you",
        customInstructions=bindparam("instructions"),
        updated_at=bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True)
class Received:
    """A verified transaction and what its receiver says of its outputs. ``proof`` is there if it is mined."""

    user_id: int
    args: InternalizeActionArgs
    transaction: Transaction
    proof: Proof | None
    ancestry: Ancestry
    parents: tuple[str, ...]
    reference: str
    max_output_script: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """``satoshis``: by how much the default basket grew. ``to_send``: it waits for its first post, nobody posts it."""

    is_merge: bool
    satoshis: int
    to_send: bool


def store_received(unit: Unit, received: Received) -> Stored:
    """Raises ``InvalidOperation`` for a transaction that has failed here and comes without a proof."""
    txid, now = received.transaction.txid(), received.now
    store_ancestry(unit, received.ancestry, now)
    found = unit.first(_FIND, user=received.user_id, wanted=txid)
    _refuse_failed(unit, received, found)
    transaction_id = _begin(unit, received) if found is None else int(found.transactionId)
    to_send = _prove_or_request(unit, received, transaction_id)
    satoshis = _store_outputs(unit, received, transaction_id)
    unit.run(_ADD, id=transaction_id, more=satoshis, now=now)
    add_labels(unit, received.user_id, transaction_id, received.args.labels, now)
    take_inputs(unit, received.transaction.to_bytes(), [(received.user_id, transaction_id)], now)
    return Stored(found is not None, satoshis, to_send)


def _refuse_failed(unit: Unit, received: Received, found: Row | None) -> None:
    if received.proof is not None:
        return
    txid = received.transaction.txid()
    if find_stored_proof(unit, txid) is not None:
        return
    request = lock_request(unit, txid)
    if request is not None and not _is_alive(request_status(request)):
        raise InvalidOperation(f"transaction {txid} was refused before ({request.status}): send it with its proof")
    if found is not None and not predicates.may_internalize_into(TransactionStatus.parse(found.status)):
        raise InvalidOperation(f"the target transaction of internalizeAction has invalid status {found.status}.")


def _is_alive(status: RequestStatus) -> bool:
    return not predicates.terminal_failure(status) and status is not RequestStatus.UNFAIL


_ROW_STATUS = {
    **dict.fromkeys(predicates.REQUESTS_HELD | predicates.REQUESTS_UNDER_REVIEW, TransactionStatus.UNPROCESSED),
    **dict.fromkeys(predicates.REQUESTS_TO_SEND, TransactionStatus.UNPROCESSED),
    **dict.fromkeys(predicates.REQUESTS_TERMINAL_FAILURE, TransactionStatus.FAILED),
    RequestStatus.SENDING: TransactionStatus.SENDING,
    **dict.fromkeys(predicates.REQUESTS_ACCEPTED_UNPROVEN, TransactionStatus.UNPROVEN),
    RequestStatus.COMPLETED: TransactionStatus.UNPROVEN,
}
"""The status a new row starts with beside a request of another user; ``completed`` it gets with the proof."""


def _begin(unit: Unit, received: Received) -> int:
    txid, now, transaction = received.transaction.txid(), received.now, received.transaction
    request = lock_request(unit, txid)
    status = TransactionStatus.UNPROCESSED if request is None else _ROW_STATUS[request_status(request)]
    return unit.insert(
        _INSERT,
        created_at=now,
        updated_at=now,
        userId=received.user_id,
        provenTxId=None,
        status=status.value,
        reference=received.reference,
        isOutgoing=False,
        satoshis=0,
        version=transaction.version & 0xFFFFFFFF,
        lockTime=transaction.lock_time,
        description=received.args.description,
        txid=txid,
    )


def _prove_or_request(unit: Unit, received: Received, transaction_id: int) -> bool:
    """A proof completes every user's rows (R1); without one there is a request (R2). Whether it is to be posted."""
    txid, now = received.transaction.txid(), received.now
    proof = received.proof or find_stored_proof(unit, txid)
    if proof is not None:
        record_proof(unit, proof, now=now)
        return False
    status = open_request(
        unit,
        txid=txid,
        raw_tx=received.transaction.to_bytes(),
        signed=by.SignedToSend(),
        now=now,
        transaction_ids=[transaction_id],
    )
    store_parents(unit, txid, received.parents)
    return status in (RequestStatus.UNSENT, RequestStatus.UNPROCESSED)


def _store_outputs(unit: Unit, received: Received, transaction_id: int) -> int:
    """New rows, or what becomes of rows that are there; by how much the default basket grows."""
    default = BASKETS.ensure(
        unit,
        received.user_id,
        [DEFAULT_BASKET],
        received.now,
        numberOfDesiredUTXOs=DEFAULT_WANTED,
        minimumDesiredUTXOValue=DEFAULT_MINIMUM,
    )[DEFAULT_BASKET]
    named = [each.insertion_remittance.basket for each in received.args.outputs if each.insertion_remittance]
    baskets = ensure_baskets(unit, received.user_id, named, received.now)
    rows = unit.rows(_OUTPUTS, user=received.user_id, transaction=transaction_id)
    existing = {row.vout: row for row in rows}
    total, tags = 0, {}
    for each in received.args.outputs:
        row = existing.get(each.output_index)
        if each.payment_remittance is not None:
            total += _payment(unit, received, transaction_id, each, row, default)
        else:
            output_id, growth = _insertion(unit, received, transaction_id, each, row, baskets, default)
            total += growth
            tags[output_id] = each.insertion_remittance.tags if each.insertion_remittance else ()
    add_tags(unit, received.user_id, tags, received.now)
    return total


def _payment(
    unit: Unit, received: Received, transaction_id: int, given: InternalizeOutput, row: Row | None, default: int
) -> int:
    remittance = given.payment_remittance
    if remittance is None:
        return 0
    keys = {
        "senderIdentityKey": remittance.sender_identity_key,
        "derivationPrefix": remittance.derivation_prefix,
        "derivationSuffix": remittance.derivation_suffix,
    }
    satoshis = received.transaction.outputs[given.output_index].satoshis
    if row is None:
        common = {"basketId": default, "change": True, "providedBy": "storage", "purpose": "change", "type": "P2PKH"}
        _insert_output(unit, received, transaction_id, given, common | keys)
        return satoshis
    if row.change or row.derivationPrefix is not None:
        return 0  # it can be spent as it is; another derivation never replaces the one that is known (R42)
    unit.run(
        _TO_PAYMENT,
        id=row.outputId,
        basket=default,
        sender=remittance.sender_identity_key,
        prefix=remittance.derivation_prefix,
        suffix=remittance.derivation_suffix,
        now=received.now,
    )
    return satoshis


def _insertion(
    unit: Unit,
    received: Received,
    transaction_id: int,
    given: InternalizeOutput,
    row: Row | None,
    baskets: dict[str, int],
    default: int,
) -> tuple[int, int]:
    """``(outputId, growth)``. A coin of the default basket moves out of it and keeps its derivation (R42)."""
    remittance = given.insertion_remittance
    if remittance is None:
        raise InvalidOperation("an output without a remittance cannot be inserted")
    basket, instructions = baskets[remittance.basket], remittance.custom_instructions
    if row is None:
        common = {"basketId": basket, "change": False, "providedBy": "you", "purpose": "", "type": "custom"}
        more = common | {"customInstructions": instructions}
        return _insert_output(unit, received, transaction_id, given, more), 0
    unit.run(_TO_BASKET, id=row.outputId, basket=basket, instructions=instructions, now=received.now)
    left_default = row.change and row.basketId == default
    return row.outputId, -received.transaction.outputs[given.output_index].satoshis if left_default else 0


def _insert_output(
    unit: Unit, received: Received, transaction_id: int, given: InternalizeOutput, more: dict[str, Any]
) -> int:
    output = received.transaction.outputs[given.output_index]
    script = output.locking_script.to_bytes()
    return unit.insert(
        _INSERT_OUTPUT,
        created_at=received.now,
        updated_at=received.now,
        userId=received.user_id,
        transactionId=transaction_id,
        spendable=True,
        vout=given.output_index,
        satoshis=output.satoshis,
        outputDescription="",
        txid=received.transaction.txid(),
        scriptLength=len(script),
        scriptOffset=_script_offset(received.transaction, given.output_index),
        lockingScript=script if len(script) <= received.max_output_script else None,
        **more,
    )


def _script_offset(transaction: Transaction, vout: int) -> int:
    sizes = [output_size(len(each.locking_script)) for each in transaction.outputs]
    start = transaction.size() - 4 - sum(sizes[vout:])
    return start + 8 + varint_size(len(transaction.outputs[vout].locking_script))
