"""The wallet's script interpreter in the shape the chain asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.wallet.script import ScriptError, verify_script

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction, TransactionOutput


def verify_input(transaction: Transaction, index: int, spent: TransactionOutput) -> str | None:
    """Runs input ``index`` against the output it spends: why it fails, or ``None``."""
    try:
        verify_script(
            transaction.inputs[index].unlocking_script,
            spent.locking_script,
            transaction=transaction,
            input_index=index,
            satoshis=spent.satoshis,
        )
    except ScriptError as error:
        return str(error)
    return None
