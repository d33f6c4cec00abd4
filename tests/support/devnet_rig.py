"""Coins and spends that need no key, for tests that care about the chain and not about scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.devnet.devnet import Devnet

ANYONE = Script(b"\x52")
"""OP_2: anyone may spend it, and the faucet does not take it for its own."""
NOBODY = Script(b"\x00")
"""OP_0: its script fails whatever the input brings."""


def coin(devnet: Devnet, satoshis: int = 10_000, lock: Script = ANYONE) -> OutPoint:
    """A mined output that an input without a script can spend."""
    return OutPoint(devnet.fund(lock, satoshis, mine=True).txid, 0)


def spend(
    sources: Sequence[OutPoint],
    satoshis: Sequence[int],
    *,
    unlock: bytes = b"",
    lock: Script = ANYONE,
    lock_time: int = 0,
    sequence: int = 0xFFFFFFFF,
) -> Transaction:
    inputs = [TransactionInput(each, Script(unlock), sequence) for each in sources]
    return Transaction(1, inputs, [TransactionOutput(each, lock) for each in satoshis], lock_time)


def extended(transaction: Transaction, *sources: TransactionOutput) -> bytes:
    return transaction.with_sources(list(sources)).to_extended()


def with_ancestry(devnet: Devnet, *transactions: Transaction) -> Beef:
    """A BEEF of ``transactions``, parents first, on the mined parents of the first."""
    beef = Beef()
    for each in transactions[0].inputs:
        beef.merge(devnet.beef(each.outpoint.txid))
    for transaction in transactions:
        beef.merge_transaction(transaction)
    return beef
