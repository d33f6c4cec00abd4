"""Errors of the local chain.

SdkError
└─ DevnetError                 ERR_DEVNET
   ├─ TransactionRefused       ERR_TRANSACTION_REFUSED    a node would not take it; kind, reason, competitors
   ├─ BlockRefused             ERR_BLOCK_REFUSED          it breaks a consensus rule; reason in the node's words
   ├─ OutOfRange (ValueError)  ERR_OUT_OF_RANGE           a height, depth or amount the chain cannot serve
   ├─ NothingToSpend           ERR_NOTHING_TO_SPEND       the faucet cannot pay that much
   ├─ JournalDamaged           ERR_JOURNAL_DAMAGED        the data directory does not hold what it should
   ├─ JournalNotWritten        ERR_DEVNET_JOURNAL         a full disk, or one that fails: the chain cannot be kept
   └─ CheckFailed              ERR_CHECK_FAILED           a step of the quickstart did not do what it must
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sdk.core.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class RefusalKind(Enum):
    """Why a transaction was refused; the services' codes are derived from it."""

    MALFORMED = "malformed"
    COINBASE = "coinbase"
    INPUTS = "inputs"
    OUTPUTS = "outputs"
    MISSING = "missing"  # an input nobody has heard of
    SPENT = "spent"  # an input that a mined transaction has spent
    CONFLICT = "conflict"  # an input that a transaction waiting to be mined spends
    IMMATURE = "immature"
    NON_FINAL = "non-final"
    BELOW_OUTPUTS = "below outputs"
    FEE = "fee"
    SCRIPT = "script"
    FROZEN = "frozen"
    FULL = "full"


class DevnetError(SdkError):
    code = "ERR_DEVNET"


class TransactionRefused(DevnetError):
    """``reason`` is the node's reject reason (spec/consensus.md §4.8, §5.1); ``competing`` are the txids in the way."""

    code = "ERR_TRANSACTION_REFUSED"

    def __init__(self, txid: str, kind: RefusalKind, reason: str, competing: Sequence[str] = ()) -> None:
        self.txid, self.kind, self.reason, self.competing = txid, kind, reason, tuple(competing)
        super().__init__(txid, kind, reason, self.competing)

    def __str__(self) -> str:
        rivals = f" (competing: {', '.join(self.competing)})" if self.competing else ""
        return f"transaction {self.txid} refused: {self.reason}{rivals}"


class BlockRefused(DevnetError):
    code = "ERR_BLOCK_REFUSED"

    def __init__(self, block_hash: str, reason: str) -> None:
        self.block_hash, self.reason = block_hash, reason
        super().__init__(block_hash, reason)

    def __str__(self) -> str:
        return f"block {self.block_hash} refused: {self.reason}"


class OutOfRange(DevnetError, ValueError):
    code = "ERR_OUT_OF_RANGE"

    def __init__(self, what: str, value: int, lowest: int, highest: int) -> None:
        self.what, self.value, self.lowest, self.highest = what, value, lowest, highest
        super().__init__(what, value, lowest, highest)

    def __str__(self) -> str:
        return f"{self.what} is {self.value}; it must be from {self.lowest} to {self.highest}"


class NothingToSpend(DevnetError):
    code = "ERR_NOTHING_TO_SPEND"

    def __init__(self, wanted: int, available: int) -> None:
        self.wanted, self.available = wanted, available
        super().__init__(wanted, available)

    def __str__(self) -> str:
        return (
            f"the faucet cannot pay {self.wanted} satoshis and a fee (it has {self.available}): "
            "ask for less, or mine more blocks"
        )


class JournalDamaged(DevnetError):
    code = "ERR_JOURNAL_DAMAGED"


class JournalNotWritten(DevnetError):
    """The chain goes no further, because it could not be kept."""

    code = "ERR_DEVNET_JOURNAL"

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return f"{self.path} cannot be written ({self.reason}): make room or choose another directory, and start again"


class CheckFailed(DevnetError):
    code = "ERR_CHECK_FAILED"
