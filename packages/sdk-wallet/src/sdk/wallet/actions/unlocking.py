"""Every input of a signed transaction is run before anyone else sees it (R79)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import InternalError, InvalidParameter
from sdk.wallet.script import STANDARD, ScriptError, ScriptFlags, SignatureHasher, verify_script
from sdk.wallet.script.flags import utxo_flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.core.beef import Beef
    from sdk.core.chain import ChainParameters
    from sdk.core.transaction import Transaction
    from sdk.wallet.actions.drafting import Draft


_WHEN_MINED = ScriptFlags.UTXO_AFTER_GENESIS | ScriptFlags.UTXO_AFTER_CHRONICLE


def check_unlocking_scripts(
    draft: Draft, transaction: Transaction, chain: ChainParameters, name: Callable[[int], str]
) -> None:
    """By the rules a node relays by today, and those of the height at which each source was mined where that is known.

    Raises ``InvalidParameter`` named ``name(vin)`` for a script the caller gave that does not unlock."""
    hasher = SignatureHasher(transaction)
    for vin, each in enumerate(transaction.inputs):
        source = each.source_output
        if source is None:
            raise InternalError(f"input {vin} of {transaction.txid()} has no source output to check it with")
        try:
            verify_script(
                each.unlocking_script,
                source.locking_script,
                transaction=transaction,
                input_index=vin,
                satoshis=source.satoshis,
                flags=_flags(draft.beef, each.outpoint.txid, chain),
                hasher=hasher,
            )
        except ScriptError as error:
            if vin in draft.coins:
                raise InternalError(f"The wallet's own signature of input {vin} is refused: {error}.") from error
            raise InvalidParameter(name(vin), f"a script that unlocks {each.outpoint} ({error})") from error


def _flags(beef: Beef, txid: str, chain: ChainParameters) -> ScriptFlags:
    path = beef.path_for(txid)
    return STANDARD if path is None else (STANDARD & ~_WHEN_MINED) | utxo_flags(path.block_height, chain)
