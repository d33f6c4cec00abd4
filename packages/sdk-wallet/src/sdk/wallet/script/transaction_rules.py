"""What every transaction must keep, whatever it spends (spec/consensus.md §5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.errors import SdkError

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
    if transaction.size() > MAX_SIZE:
        raise InvalidTransaction("bad-txns-oversize", f"{transaction.size()} bytes are more than {MAX_SIZE}")
    if not transaction.inputs:
        raise InvalidTransaction("bad-txns-vin-empty", "it has no inputs")
    if not transaction.outputs:
        raise InvalidTransaction("bad-txns-vout-empty", "it has no outputs")
    _check_outputs(transaction, after_genesis=after_genesis)
    if transaction.is_coinbase:
        if len(transaction.inputs[0].unlocking_script) not in _COINBASE_SCRIPT:
            raise InvalidTransaction("bad-cb-length", "a coinbase script has 2 to 100 bytes", 0)
    else:
        _check_inputs(transaction)


def _check_outputs(transaction: Transaction, *, after_genesis: bool) -> None:
    total = 0
    for index, output in enumerate(transaction.outputs):
        if output.satoshis < 0:
            raise InvalidTransaction("bad-txns-vout-negative", f"output {index} is negative", index)
        if output.satoshis > MAX_SATOSHIS:
            raise InvalidTransaction("bad-txns-vout-toolarge", f"output {index} is above {MAX_SATOSHIS}", index)
        total += output.satoshis
        if total > MAX_SATOSHIS:
            raise InvalidTransaction("bad-txns-txouttotal-toolarge", f"outputs sum to over {MAX_SATOSHIS}", index)
        if after_genesis and output.locking_script.is_p2sh() and not transaction.is_coinbase:
            raise InvalidTransaction("bad-txns-vout-p2sh", f"output {index} is pay-to-script-hash", index)


def _check_inputs(transaction: Transaction) -> None:
    seen = set()
    for index, each in enumerate(transaction.inputs):
        if each.outpoint.is_null:
            raise InvalidTransaction("bad-txns-prevout-null", f"input {index} spends nothing", index)
        if each.outpoint in seen:
            raise InvalidTransaction("bad-txns-inputs-duplicate", f"input {index} spends {each.outpoint} again", index)
        seen.add(each.outpoint)
