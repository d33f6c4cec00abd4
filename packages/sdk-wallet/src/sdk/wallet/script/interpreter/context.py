"""What a script can see of the transaction that spends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sdk.wallet.script.sighash import SignatureHasher


class Spend(NamedTuple):
    """One input: its number, the satoshis it spends, and the transaction's version, lock time and digests."""

    hasher: SignatureHasher
    input_index: int
    satoshis: int
    version: int
    lock_time: int

    @property
    def sequence(self) -> int:
        return self.hasher.sequence(self.input_index)
