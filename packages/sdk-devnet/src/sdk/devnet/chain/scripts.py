"""Which transactions touch which locking script, as the script queries of explorers need it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sdk.core.transaction import OutPoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdk.core.script import Script
    from sdk.core.transaction import Transaction, TransactionOutput


def script_hash(locking_script: Script) -> str:
    """SHA-256 of the script, byte-reversed, hex (spec/arc.md §3)."""
    return sha256(locking_script.to_bytes()).digest()[::-1].hex()


class ScriptIndex:
    """Only grows; whoever asks keeps what the best chain and the mempool still hold."""

    def __init__(self) -> None:
        self._outputs: dict[str, dict[OutPoint, None]] = {}
        self._history: dict[str, dict[str, None]] = {}

    def add(self, transaction: Transaction, output_of: Callable[[OutPoint], TransactionOutput | None]) -> None:
        """``output_of`` finds the spent outputs; unknown ones are left out until the next call."""
        txid = transaction.txid()
        for vout, output in enumerate(transaction.outputs):
            key = script_hash(output.locking_script)
            self._outputs.setdefault(key, {})[OutPoint(txid, vout)] = None
            self._history.setdefault(key, {})[txid] = None
        for each in transaction.inputs:
            spent = output_of(each.outpoint)
            if spent is not None:
                self._history.setdefault(script_hash(spent.locking_script), {})[txid] = None

    def outputs(self, key: str) -> Iterable[OutPoint]:
        return tuple(self._outputs.get(key, ()))

    def history(self, key: str) -> Iterable[str]:
        return tuple(self._history.get(key, ()))
