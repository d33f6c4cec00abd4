"""From storage's checked answer to a transaction, and its signatures. Pure but for the memory of ``OwnCoins``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.beef import Beef
from sdk.core.errors import InvalidParameter, ParseError
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.actions.checks import check_answer, is_change
from sdk.wallet.actions.errors import StorageAnswerError
from sdk.wallet.script import SignatureHasher
from sdk.wallet.script.templates import p2pkh
from sdk.wallet.script.templates.signing import Coin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.storage import StorageCreateActionInput, StorageCreateActionResult
    from sdk.core.wallet import SignActionSpend, ValidCreateActionArgs
    from sdk.wallet.actions.checks import Bounds, CheckedAnswer
    from sdk.wallet.actions.coins import CoinKey, OwnCoins

_FILLER = Script(bytes.fromhex("006a0142"))
"""OP_FALSE OP_RETURN 42: the output of a transaction that would have none (spec/wallet-stack.md §3.1)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction that lacks signatures.

    ``transaction`` has the unlocking scripts its caller gave and empty ones elsewhere; its inputs know their source
    outputs. ``coins`` are the keys of the inputs the wallet signs itself, ``missing`` the inputs still to be unlocked
    by signAction with the most bytes each may take.
    """

    reference: str
    transaction: Transaction
    coins: Mapping[int, CoinKey]
    missing: Mapping[int, int]
    no_send_change: tuple[int, ...]
    beef: Beef
    fee: int


def draft_action(
    args: ValidCreateActionArgs, answer: StorageCreateActionResult, coins: OwnCoins, bounds: Bounds
) -> Draft:
    """Raises ``StorageAnswerError`` if storage's answer is not what was asked for."""
    checked = check_answer(args, answer, bounds)
    beef = _source_beef(answer)
    keys = {each.vin: _own_key(each, coins) for each in checked.inputs[len(args.inputs) :]}
    inputs = [_draft_input(args, each, beef) for each in checked.inputs]
    outputs = _draft_outputs(checked, answer.derivation_prefix, coins)
    return Draft(
        reference=answer.reference,
        transaction=Transaction(args.version, inputs, outputs, args.lock_time),
        coins=keys,
        missing={
            vin: each.unlocking_script_length for vin, each in enumerate(args.inputs) if each.unlocking_script is None
        },
        no_send_change=answer.no_send_change_output_vouts or (),
        beef=beef,
        fee=checked.fee,
    )


def complete(draft: Draft, spends: Mapping[int, SignActionSpend]) -> Transaction:
    """The transaction with every unlocking script.

    Raises ``InvalidParameter`` (``spends``) if one is missing, not wanted or longer than was announced.
    """
    _check_spends(draft, spends)
    inputs = list(draft.transaction.inputs)
    for vin, spend in spends.items():
        sequence = inputs[vin].sequence if spend.sequence_number is None else spend.sequence_number
        inputs[vin] = TransactionInput(
            inputs[vin].outpoint, Script.from_hex(spend.unlocking_script), sequence, inputs[vin].source_output
        )
    unsigned = draft.transaction
    if spends:
        unsigned = Transaction(unsigned.version, inputs, unsigned.outputs, unsigned.lock_time)
    if not draft.coins:
        return unsigned
    hasher = SignatureHasher(unsigned)
    for vin, key in draft.coins.items():
        each = inputs[vin]
        inputs[vin] = TransactionInput(
            each.outpoint, _unlock(hasher, vin, key, each), each.sequence, each.source_output
        )
    return Transaction(unsigned.version, inputs, unsigned.outputs, unsigned.lock_time)


def proven(draft: Draft, transaction: Transaction) -> bytes:
    """AtomicBEEF of ``transaction`` over the draft's sources, which it joins; others there, such as the same one before
    it was signed, are left out."""
    return draft.beef.to_atomic(draft.beef.merge_transaction(transaction))


def _unlock(hasher: SignatureHasher, vin: int, key: CoinKey, spent: TransactionInput) -> Script:
    source = spent.source_output
    if source is None:
        raise StorageAnswerError(f"inputs[{vin}]", "has no source output")
    return p2pkh.unlock(key.private_key, Coin(hasher, vin, source.satoshis, key.locking_script))


def _check_spends(draft: Draft, spends: Mapping[int, SignActionSpend]) -> None:
    for vin, spend in spends.items():
        if vin not in draft.missing:
            raise InvalidParameter(f"spends[{vin}]", "an input of this action that still lacks its unlocking script")
        if len(spend.unlocking_script) // 2 > draft.missing[vin]:
            raise InvalidParameter(
                f"spends[{vin}].unlockingScript", f"at most {draft.missing[vin]} bytes, as createAction was told"
            )
    lacking = sorted(draft.missing.keys() - spends.keys())
    if lacking:
        raise InvalidParameter("spends", f"complete; input {lacking[0]} has no unlocking script")


def _source_beef(answer: StorageCreateActionResult) -> Beef:
    try:
        beef = Beef() if answer.input_beef is None else Beef.from_bytes(answer.input_beef)
        for each in answer.inputs:
            if each.source_transaction is not None:
                beef.merge_transaction(each.source_transaction)
    except ParseError as error:
        raise StorageAnswerError("inputBeef", f"cannot be read: {error}") from None
    return beef


def _own_key(given: StorageCreateActionInput, coins: OwnCoins) -> CoinKey:
    """The key of a coin that storage says is ours; the script must be the one it unlocks."""
    where = f"inputs[{given.vin}]"
    try:
        key = coins.key(given.derivation_prefix or "", given.derivation_suffix or "", given.sender_identity_key)
    except InvalidParameter as error:
        raise StorageAnswerError(where, f"has a derivation that cannot be one ({error})") from None
    if key.locking_script.to_hex() != given.source_locking_script:
        raise StorageAnswerError(f"{where}.sourceLockingScript", "is not locked by a key of this wallet")
    return key


def _draft_input(args: ValidCreateActionArgs, given: StorageCreateActionInput, beef: Beef) -> TransactionInput:
    source = TransactionOutput(given.source_satoshis, Script.from_hex(given.source_locking_script))
    parent = beef.transaction(given.source_txid)
    if parent is not None:
        outputs = parent.outputs
        if given.source_vout >= len(outputs) or outputs[given.source_vout] != source:
            raise StorageAnswerError(f"inputs[{given.vin}]", "is not the output its source transaction has")
    outpoint = OutPoint(given.source_txid, given.source_vout)
    if given.vin >= len(args.inputs):
        return TransactionInput(outpoint, Script(), source_output=source)
    asked = args.inputs[given.vin]
    return TransactionInput(outpoint, Script.from_hex(asked.unlocking_script or ""), asked.sequence_number, source)


def _draft_outputs(checked: CheckedAnswer, prefix: str, coins: OwnCoins) -> list[TransactionOutput]:
    outputs: list[TransactionOutput] = []
    for each in checked.outputs:
        if is_change(each):
            script = _change_script(each.vout, prefix, each.derivation_suffix or "", coins)
            if each.locking_script not in ("", script.to_hex()):
                raise StorageAnswerError(f"outputs[{each.vout}].lockingScript", "is change to a foreign key")
        else:
            script = Script.from_hex(each.locking_script)
        outputs.append(TransactionOutput(each.satoshis, script))
    return outputs or [TransactionOutput(0, _FILLER)]


def _change_script(vout: int, prefix: str, suffix: str, coins: OwnCoins) -> Script:
    try:
        return coins.key(prefix, suffix).locking_script
    except InvalidParameter as error:
        raise StorageAnswerError(f"outputs[{vout}]", f"has a derivation that cannot be one ({error})") from None
