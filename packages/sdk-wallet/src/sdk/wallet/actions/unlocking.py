"""Every input of a signed transaction is run before anyone else sees it (R79)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import InternalError, InvalidParameter
from sdk.wallet.script import ScriptError, SignatureHasher, verify_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.core.transaction import Transaction
    from sdk.wallet.actions.drafting import Draft


def check_unlocking_scripts(draft: Draft, transaction: Transaction, name: Callable[[int], str]) -> None:
    """Raises ``InvalidParameter`` named ``name(vin)`` for a script the caller gave that does not unlock."""
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
                hasher=hasher,
            )
        except ScriptError as error:
            if vin in draft.coins:
                raise InternalError(f"The wallet's own signature of input {vin} is refused: {error}.") from error
            raise InvalidParameter(name(vin), f"a script that unlocks {each.outpoint} ({error})") from error
