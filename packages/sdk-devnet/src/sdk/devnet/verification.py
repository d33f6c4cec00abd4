"""The wallet's script interpreter in the shape the chain asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction, TransactionOutput


def verify_input(transaction: Transaction, index: int, spent: TransactionOutput) -> str | None:
    from sdk.wallet.script.interpreter import verify_script  # placeholder until it lands
    raise SystemExit
