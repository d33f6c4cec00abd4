"""Transaction and block rules as pure functions (spec/consensus.md §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.chain import MOCK
from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.devnet.errors import RefusalKind, TransactionRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.chain import ChainParameters

NULL_TXID = "00" * 32
NULL_OUTPOINT = OutPoint(NULL_TXID, 0xFFFFFFFF)
OP_TRUE = Script(b"\x51")


@dataclass(frozen=True, slots=True)
class Policy:
    """What this chain requires. Sizes in bytes, money in satoshis.

    ``fee_satoshis`` per ``fee_bytes`` is the mining fee, rounded up; Genesis and Chronicle rules hold from block 1.
    """

    chain: ChainParameters = MOCK
    fee_satoshis: int = 1
    fee_bytes: int = 1000
    max_transaction_size: int = 10_000_000
    max_script_size: int = 500_000
    max_mempool_bytes: int = 300_000_000
    max_orphans: int = 1000
    max_orphan_bytes: int = 10_000_000
    max_block_bytes: int = 1_000_000_000

    def minimum_fee(self, size: int) -> int:
        return -(-size * self.fee_satoshis // self.fee_bytes)


def push_number(number: int) -> bytes:
    """The minimal push of a non-negative script number."""
    if number == 0:
        return b"\x00"
    if number <= 16:
        return bytes([0x50 + number])
    size = number.bit_length() // 8 + 1  # one spare bit for the sign
    return bytes([size]) + number.to_bytes(size, "little")


def coinbase(height: int, satoshis: int, locking_script: Script, extra: bytes = b"") -> Transaction:
    """The first transaction of the block at ``height``; ``extra`` (at most 75 bytes) tells equal ones apart."""
    tag = push_number(height) + bytes([len(extra)]) + extra
    return Transaction(
        1,
        [TransactionInput(NULL_OUTPOINT, Script(tag.ljust(2, b"\x00")))],
        [TransactionOutput(satoshis, locking_script)],
        0,
    )


def is_false_return(script: Script) -> bool:
    """Provably unspendable: the only kind of output that may hold nothing."""
    return script.to_bytes()[:2] == b"\x00\x6a"


def is_p2sh(script: Script) -> bool:
    data = script.to_bytes()
    return len(data) == 23 and data[:2] == b"\xa9\x14" and data[-1] == 0x87


def check_transaction(transaction: Transaction, policy: Policy) -> None:
    """What needs no other transaction; raises ``TransactionRefused`` in the order of §5.1."""
    txid = transaction.txid()
    if not transaction.inputs:
        raise TransactionRefused(txid, RefusalKind.INPUTS, "bad-txns-vin-empty")
    if not transaction.outputs:
        raise TransactionRefused(txid, RefusalKind.OUTPUTS, "bad-txns-vout-empty")
    if transaction.size() > policy.max_transaction_size:
        raise TransactionRefused(txid, RefusalKind.MALFORMED, "bad-txns-oversize")
    _check_outputs(txid, transaction.outputs)
    _check_outpoints(txid, transaction)


def _check_outputs(txid: str, outputs: Sequence[TransactionOutput]) -> None:
    total = 0
    for output in outputs:
        if output.satoshis < 0:
            raise TransactionRefused(txid, RefusalKind.OUTPUTS, "bad-txns-vout-negative")
        if output.satoshis > MAX_SATOSHIS:
            raise TransactionRefused(txid, RefusalKind.OUTPUTS, "bad-txns-vout-toolarge")
        total += output.satoshis
        if total > MAX_SATOSHIS:
            raise TransactionRefused(txid, RefusalKind.OUTPUTS, "bad-txns-txouttotal-toolarge")
        if is_p2sh(output.locking_script):
            raise TransactionRefused(txid, RefusalKind.OUTPUTS, "bad-txns-vout-p2sh")


def _check_outpoints(txid: str, transaction: Transaction) -> None:
    outpoints = [each.outpoint for each in transaction.inputs]
    if transaction.is_coinbase:
        return
    if len(set(outpoints)) != len(outpoints):
        raise TransactionRefused(txid, RefusalKind.INPUTS, "bad-txns-inputs-duplicate")
    if any(each.is_null for each in outpoints):
        raise TransactionRefused(txid, RefusalKind.INPUTS, "bad-txns-prevout-null")


def check_standard(transaction: Transaction, policy: Policy) -> None:
    """What a node asks before it relays (§4.9)."""
    txid = transaction.txid()
    for each in transaction.inputs:
        if len(each.unlocking_script.to_bytes()) > policy.max_script_size:
            raise TransactionRefused(txid, RefusalKind.MALFORMED, "scriptsig-size")
    for output in transaction.outputs:
        if len(output.locking_script.to_bytes()) > policy.max_script_size:
            raise TransactionRefused(txid, RefusalKind.OUTPUTS, "scriptpubkey")
        if output.satoshis == 0 and not is_false_return(output.locking_script):
            raise TransactionRefused(txid, RefusalKind.OUTPUTS, "dust")
