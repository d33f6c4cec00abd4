"""createAction in storage: inputs chosen and reserved, outputs recorded, in one unit (spec/wallet-stack.md §3.2).

Whatever goes wrong leaves nothing behind: the unit is one transaction. The number of statements does not depend on how
many inputs, outputs, labels or tags there are.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select

from sdk.core.errors import InsufficientFunds, InvalidOperation, InvalidParameter
from sdk.core.fees import P2PKH_UNLOCKING_SIZE
from sdk.core.storage import (
    PendingAction,
    StorageCreateActionInput,
    StorageCreateActionOutput,
    StorageCreateActionResult,
)
from sdk.core.wallet import MAX_POSSIBLE_SATOSHIS, ValidCreateActionArgs
from sdk.service.database import Prepared
from sdk.wallet.errors import AncestryIncomplete
from sdk.wallet.funding import Need, Shape, fund, shuffled
from sdk.wallet.lifecycle import TransactionStatus
from sdk.wallet.storage.ancestry import collect, store_ancestry
from sdk.wallet.storage.coins import UnitCoins, available_change, coin_of, reserve
from sdk.wallet.storage.inputs import (
    InputEvidence,
    find_stored,
    record_named,
    reserve_named,
    resolve_inputs,
)
from sdk.wallet.storage.names import add_labels, add_tags, ensure_baskets, find_change_basket
from sdk.wallet.storage.tables import outputs, transactions, wallet_pending_actions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sdk.core.ports import Entropy
    from sdk.service.database import Row, Unit
    from sdk.wallet.funding import Coin, FeeModel, Funding
    from sdk.wallet.storage.ancestry import Material
    from sdk.wallet.storage.inputs import (
        NamedInput,
    )
    from sdk.wallet.storage.names import ChangeBasket

REFERENCE_BYTES = 12
DERIVATION_BYTES = 16

_INSERT_TRANSACTION = Prepared(insert(transactions))
_INSERT_OUTPUT = Prepared(insert(outputs))
_INSERT_PENDING = Prepared(insert(wallet_pending_actions))
_PENDING = Prepared(
    select(wallet_pending_actions.c.args, wallet_pending_actions.c.result)
    .join(transactions, transactions.c.transactionId == wallet_pending_actions.c.transactionId)
    .where(
        transactions.c.userId == bindparam("user"),
        transactions.c.reference == bindparam("wanted"),
        transactions.c.status == TransactionStatus.UNSIGNED.value,
    )
)


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """``spread`` is over how many equally good coins concurrent writers spread; 1 where there is one writer."""

    user_id: int
    args: ValidCreateActionArgs
    fees: FeeModel
    now: datetime
    entropy: Entropy
    evidence: InputEvidence = field(default_factory=InputEvidence)
    spread: int = 1


@dataclass(frozen=True, slots=True)
class Created:
    """``result`` lacks its BEEF, which is put together from ``material`` outside the unit."""

    result: StorageCreateActionResult
    material: Material
    source_txids: tuple[str, ...]


@dataclass(slots=True)
class _Output:
    """An output before it is stored. ``suffix`` is set for change, whose script its owner derives."""

    satoshis: int
    script: bytes = b""
    basket: str | None = None
    description: str = ""
    custom_instructions: str | None = None
    tags: tuple[str, ...] = ()
    suffix: str | None = None


def create_action(unit: Unit, request: CreateRequest) -> Created:
    """Raises ``InvalidParameter``, ``InsufficientFunds``, ``ReviewActions`` or (to be run again) ``CoinContention``."""
    args, user_id, now = request.args, request.user_id, request.now
    named = resolve_inputs(unit, user_id, args.inputs, request.evidence)
    basket = find_change_basket(unit, user_id)
    if basket is None:
        raise InvalidOperation("this user has no basket 'default' for change: call findOrInsertUser first")
    coins = UnitCoins(unit, user_id, basket.basket_id, delayed=args.is_delayed)
    first = _no_send_change(unit, user_id, basket, args, coins)
    try:
        funding = _fund(unit, request, basket, named, coins, first)
    except InsufficientFunds as lack:
        raise coins.explained(lack) from None

    reference = _random_text(request.entropy, REFERENCE_BYTES)
    transaction_id = _insert_transaction(unit, request, reference, funding)
    reserve_named(unit, user_id, named, transaction_id, now)
    reserve(unit, user_id, [coin.output_id for coin in funding.coins], transaction_id, now)
    chosen = [coins.rows[coin.output_id] for coin in funding.coins]

    store_ancestry(unit, request.evidence.ancestry, now)
    source_txids = tuple(dict.fromkeys([*(each.txid for each in named), *(row.txid for row in chosen)]))
    material = _material(unit, _needed(args, named, source_txids))
    record_named(unit, named, transaction_id, material)

    prefix = _random_text(request.entropy, DERIVATION_BYTES)
    planned = _plan_outputs(request, funding)
    _insert_outputs(unit, request, basket, transaction_id, prefix, planned)
    add_labels(unit, user_id, transaction_id, args.labels, now)
    result = _result(args, reference, prefix, named, chosen, planned, material)
    if args.is_sign_action:
        _keep_pending(unit, transaction_id, args, result)
    return Created(result, material, source_txids)


def find_pending(unit: Unit, user_id: int, reference: str) -> tuple[PendingAction, Material] | None:
    """What was asked and answered for an unsigned action, and what its BEEF is made of (R78)."""
    row = unit.first(_PENDING, user=user_id, wanted=reference)
    if row is None:
        return None
    args = ValidCreateActionArgs.model_validate_json(row.args)
    result = StorageCreateActionResult.model_validate_json(row.result)
    return PendingAction(args=args, result=result), collect(unit, {each.source_txid for each in result.inputs})


def _needed(args: ValidCreateActionArgs, named: Sequence[NamedInput], source_txids: Sequence[str]) -> Sequence[str]:
    """Transactions to be read: all that are spent, unless no BEEF is wanted and no script stands in one."""
    if args.is_sign_action or not args.options.return_txid_only:
        return source_txids
    return [each.txid for each in named if each.script is None]


def _material(unit: Unit, txids: Sequence[str]) -> Material:
    """All of it, or the action is undone: what cannot be proven to a receiver is not worth signing."""
    material = collect(unit, txids)
    for txid in txids:
        if txid not in material:
            raise AncestryIncomplete(txid)
    return material


def _no_send_change(
    unit: Unit, user_id: int, basket: ChangeBasket, args: ValidCreateActionArgs, coins: UnitCoins
) -> list[Coin]:
    """The held change the caller hands on; newest first, as the reference takes it."""
    stored = find_stored(unit, user_id, args.options.no_send_change)
    found = []
    for position, outpoint in enumerate(args.options.no_send_change):
        row = stored.get((outpoint.txid, outpoint.vout))
        if row is None or not _is_free_change(row, basket):
            must = "an unspent change output of an earlier noSend action of this wallet"
            raise InvalidParameter(f"options.noSendChange[{position}]", must)
        coins.rows[row.outputId] = row
        found.append(coin_of(row))
    return found[::-1]


def _is_free_change(row: Row, basket: ChangeBasket) -> bool:
    return bool(
        row.change
        and row.spendable
        and row.spentBy is None
        and row.purpose == "change"
        and row.providedBy == "storage"
        and row.basketId == basket.basket_id
        and row.satoshis > 0
        and row.status not in (TransactionStatus.FAILED.value, TransactionStatus.UNSIGNED.value)
    )


def _fund(
    unit: Unit,
    request: CreateRequest,
    basket: ChangeBasket,
    named: Sequence[NamedInput],
    coins: UnitCoins,
    first: Sequence[Coin],
) -> Funding:
    args = request.args
    sweeping = [i for i, each in enumerate(args.outputs) if each.satoshis == MAX_POSSIBLE_SATOSHIS]
    if len(sweeping) > 1:
        raise InvalidParameter(
            f"outputs[{sweeping[1]}].satoshis", "an amount; one output alone can take all that is left"
        )
    need = Need(
        shape=Shape.of(
            [each.given.unlocking_script_length for each in named],
            [len(each.locking_script) // 2 for each in args.outputs],
        ),
        spending=sum(each.satoshis for i, each in enumerate(args.outputs) if i not in sweeping),
        provided=sum(each.satoshis for each in named),
        fees=request.fees,
        wanted_change=basket.wanted - available_change(unit, request.user_id, basket.basket_id, basket.wanted) + 1,
        minimum_change=basket.minimum,
        verbatim=bool(named) and not args.is_sign_action,
        sweep=bool(sweeping),
    )
    return fund(need, coins, request.entropy, first=first, spread=request.spread)


def _insert_transaction(unit: Unit, request: CreateRequest, reference: str, funding: Funding) -> int:
    args = request.args
    return unit.insert(
        _INSERT_TRANSACTION,
        created_at=request.now,
        updated_at=request.now,
        userId=request.user_id,
        status=TransactionStatus.UNSIGNED.value,
        reference=reference,
        isOutgoing=True,
        satoshis=sum(funding.change) - sum(coin.satoshis for coin in funding.coins),
        description=args.description,
        version=args.version,
        lockTime=args.lock_time,
    )


def _plan_outputs(request: CreateRequest, funding: Funding) -> list[_Output]:
    """All outputs in the order they will stand in the transaction."""
    planned = [
        _Output(
            funding.swept if each.satoshis == MAX_POSSIBLE_SATOSHIS else each.satoshis,
            bytes.fromhex(each.locking_script),
            each.basket,
            each.output_description,
            each.custom_instructions,
            each.tags,
        )
        for each in request.args.outputs
    ]
    planned += [_Output(amount, suffix=_random_text(request.entropy, DERIVATION_BYTES)) for amount in funding.change]
    return shuffled(planned, request.entropy) if request.args.options.randomize_outputs else planned


def _insert_outputs(
    unit: Unit,
    request: CreateRequest,
    basket: ChangeBasket,
    transaction_id: int,
    prefix: str,
    planned: Sequence[_Output],
) -> None:
    now = request.now
    baskets = ensure_baskets(unit, request.user_id, [each.basket for each in planned if each.basket is not None], now)
    common = {"created_at": now, "updated_at": now, "userId": request.user_id, "transactionId": transaction_id}
    rows = [_output_row(common, vout, each, prefix, basket, baskets) for vout, each in enumerate(planned)]
    tagged = {vout: each.tags for vout, each in enumerate(planned) if each.tags}
    if not tagged:
        unit.run_many(_INSERT_OUTPUT, rows)
        return
    keys = unit.insert_many(_INSERT_OUTPUT, rows)
    add_tags(unit, request.user_id, {keys[vout]: tags for vout, tags in tagged.items()}, now)


def _output_row(
    common: dict[str, Any], vout: int, output: _Output, prefix: str, basket: ChangeBasket, baskets: dict[str, int]
) -> dict[str, Any]:
    """Not spendable before it is signed; a change output gets its script then."""
    is_change = output.suffix is not None
    return {
        **common,
        "basketId": basket.basket_id if is_change else None if output.basket is None else baskets[output.basket],
        "spendable": False,
        "change": is_change,
        "vout": vout,
        "satoshis": output.satoshis,
        "providedBy": "storage" if is_change else "you",
        "purpose": "change" if is_change else "",
        "type": "P2PKH" if is_change else "custom",
        "outputDescription": output.description,
        "derivationPrefix": prefix if is_change else None,
        "derivationSuffix": output.suffix,
        "customInstructions": output.custom_instructions,
        "lockingScript": None if is_change else output.script,
    }


def _result(
    args: ValidCreateActionArgs,
    reference: str,
    prefix: str,
    named: Sequence[NamedInput],
    chosen: Sequence[Row],
    planned: Sequence[_Output],
    material: Material,
) -> StorageCreateActionResult:
    with_sources = args.is_sign_action and args.include_all_source_transactions
    inputs = [_named_input(each, material, with_sources) for each in named]
    inputs += [_coin_input(vin, row, material, with_sources) for vin, row in enumerate(chosen, len(named))]
    change = tuple(vout for vout, each in enumerate(planned) if each.suffix is not None)
    return StorageCreateActionResult.model_construct(
        input_beef=None,
        inputs=tuple(inputs),
        outputs=tuple(_planned_output(vout, each) for vout, each in enumerate(planned)),
        no_send_change_output_vouts=change if args.is_no_send else None,
        derivation_prefix=prefix,
        version=args.version,
        lock_time=args.lock_time,
        reference=reference,
    )


def _named_input(named: NamedInput, material: Material, with_source: bool) -> StorageCreateActionInput:
    given, row = named.given, named.row
    return StorageCreateActionInput.model_construct(
        vin=named.vin,
        source_txid=given.outpoint.txid,
        source_vout=given.outpoint.vout,
        source_satoshis=named.satoshis,
        source_locking_script=named.locking_script(material).hex(),
        source_transaction=material[given.outpoint.txid][0] if with_source else None,
        unlocking_script_length=given.unlocking_script_length,
        provided_by="you" if row is None else "you-and-storage",
        type="custom" if row is None else row.type,
        spending_description=given.input_description,
        derivation_prefix=None if row is None else row.derivationPrefix,
        derivation_suffix=None if row is None else row.derivationSuffix,
        sender_identity_key=None if row is None else row.senderIdentityKey,
        sequence_number=given.sequence_number,
    )


def _coin_input(vin: int, row: Row, material: Material, with_source: bool) -> StorageCreateActionInput:
    return StorageCreateActionInput.model_construct(
        vin=vin,
        source_txid=row.txid,
        source_vout=row.vout,
        source_satoshis=row.satoshis,
        source_locking_script=row.lockingScript.hex(),
        source_transaction=material[row.txid][0] if with_source else None,
        unlocking_script_length=P2PKH_UNLOCKING_SIZE,
        provided_by="storage",
        type="P2PKH",
        spending_description=None,
        derivation_prefix=row.derivationPrefix,
        derivation_suffix=row.derivationSuffix,
        sender_identity_key=row.senderIdentityKey,
        sequence_number=None,
    )


def _planned_output(vout: int, output: _Output) -> StorageCreateActionOutput:
    is_change = output.suffix is not None
    return StorageCreateActionOutput.model_construct(
        vout=vout,
        satoshis=output.satoshis,
        locking_script=output.script.hex(),
        provided_by="storage" if is_change else "you",
        purpose="change" if is_change else None,
        basket="default" if is_change else output.basket,
        tags=output.tags,
        output_description=output.description,
        derivation_suffix=output.suffix,
        custom_instructions=output.custom_instructions,
    )


def _keep_pending(
    unit: Unit, transaction_id: int, args: ValidCreateActionArgs, result: StorageCreateActionResult
) -> None:
    bare = args.for_storage().model_copy(update={"input_beef": None})
    unit.run(
        _INSERT_PENDING,
        transactionId=transaction_id,
        args=bare.model_dump_json(by_alias=True, exclude_none=True),
        result=result.model_dump_json(by_alias=True, exclude_none=True),
    )


def _random_text(entropy: Entropy, size: int) -> str:
    return b64encode(entropy(size)).decode()
