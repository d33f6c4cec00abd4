"""Errors of the wallet beside the WERR family of ``sdk.core.errors``.

StorageError
├─ CoinContention       another writer took the coins first; nothing was changed         (retryable)
└─ AncestryIncomplete   a transaction that a BEEF needs is not stored; ``txid`` says which
"""

from __future__ import annotations

from sdk.core.errors import StorageBusy, StorageError


class CoinContention(StorageBusy):
    """A compare-and-set reservation found fewer free outputs than it had chosen (R25)."""

    code = "ERR_COIN_CONTENTION"

    def __init__(self, wanted: int, got: int) -> None:
        self.wanted, self.got = wanted, got
        super().__init__(f"{wanted - got} of {wanted} chosen outputs were taken by another action meanwhile")


class AncestryIncomplete(StorageError):
    """Neither proven here nor stored with its parents, as after a reorganisation that removed a foreign proof.

    Once the monitor has found its new proof, the same call works again.
    """

    code = "ERR_ANCESTRY_INCOMPLETE"
    retryable = True

    def __init__(self, txid: str) -> None:
        self.txid = txid
        super().__init__(f"transaction {txid}, which a BEEF needs, is not stored: fetch it and its proof first")
