"""What every transaction must keep, whatever it spends (spec/consensus.md §5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.errors import SdkError
from sdk.wallet.script.parts import NULL_OUTPOINT, TransactionParts

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction

MAX_SIZE = 1_000_000_000
_COINBASE_SCRIPT = range(2, 101)


class InvalidTransaction(SdkError):
    """``reason`` is the node's word for the broken rule; ``index`` the input or output that breaks it."""

    code = "ERR_INVALID_TRANSACTION"

    def __init__(self, reason: str, detail: str, index: int | None = None) -> None:
        self.reason, self.detail, self.index = reason, detail, index
        super().__init__(reason, detail, index)

    def __str__(self) -> str:
        return f"{self.detail} ({self.reason})"


def check_transaction(transaction: Transaction, *, after_genesis: bool = True) -> None:
    """Raises ``InvalidTransaction``. A coinbase is judged as one; whether it may stand alone, the caller knows."""
    check_parts(TransactionParts(transaction), after_genesis=after_genesis)


def check_parts(parts: TransactionParts, *, after_genesis: bool = True) -> int:
    """The same; returns the sum of the outputs."""
    if len(parts.raw) > MAX_SIZE:
        raise InvalidTransaction("bad-txns-oversize", f"{len(parts.raw)} bytes are more than {MAX_SIZE}")
    if not parts.outpoints:
        raise InvalidTransaction("bad-txns-vin-empty", "it has no inputs")
    if not parts.outputs:
        raise InvalidTransaction("bad-txns-vout-empty", "it has no outputs")
    coinbase = parts.is_coinbase
    total = _check_outputs(parts, refuse_script_hash=after_genesis and not coinbase)
    if not coinbase:
        _check_inputs(parts)
    elif len(parts.scripts[0]) not in _COINBASE_SCRIPT:
        raise InvalidTransaction("bad-cb-length", "a coinbase script has 2 to 100 bytes", 0)
    return total


def _check_outputs(parts: TransactionParts, *, refuse_script_hash: bool) -> int:
    total = 0
    for index, (satoshis, script) in enumerate(parts.outputs):
        if satoshis < 0:
            raise InvalidTransaction("bad-txns-vout-negative", f"output {index} is negative", index)
        if satoshis > MAX_SATOSHIS:
            raise InvalidTransaction("bad-txns-vout-toolarge", f"output {index} is above {MAX_SATOSHIS}", index)
        total += satoshis
        if total > MAX_SATOSHIS:
            raise InvalidTransaction("bad-txns-txouttotal-toolarge", f"outputs sum to over {MAX_SATOSHIS}", index)
        if refuse_script_hash and len(script) == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
            raise InvalidTransaction("bad-txns-vout-p2sh", f"output {index} is pay-to-script-hash", index)
    return total


def _check_inputs(parts: TransactionParts) -> None:
    outpoints = parts.outpoints
    if NULL_OUTPOINT not in outpoints and len(set(outpoints)) == len(outpoints):
        return
    seen: set[bytes] = set()
    for index, outpoint in enumerate(outpoints):
        if outpoint == NULL_OUTPOINT:
            raise InvalidTransaction("bad-txns-prevout-null", f"input {index} spends nothing", index)
        if outpoint in seen:
            name = f"{outpoint[31::-1].hex()}.{int.from_bytes(outpoint[32:], 'little')}"
            raise InvalidTransaction("bad-txns-inputs-duplicate", f"input {index} spends {name} again", index)
        seen.add(outpoint)
