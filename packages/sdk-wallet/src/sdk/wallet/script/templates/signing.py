"""The signature that unlocks an input: DER and the hash type byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdk.wallet.script import sighash

if TYPE_CHECKING:
    from sdk.core.script import Script
    from sdk.wallet.keys import PrivateKey
    from sdk.wallet.script.sighash import SignatureHasher

MAX_SIGNATURE_SIZE = 72
"""DER with low S (71 at most) and the hash type byte."""


class Coin(NamedTuple):
    """The output that an input spends, and where: what every unlocking template needs.

    ``hasher`` is of the spending transaction; one serves all its inputs.
    """

    hasher: SignatureHasher
    input_index: int
    satoshis: int
    locking_script: Script


def digest(coin: Coin, sighash_type: int = sighash.DEFAULT) -> bytes:
    """What to sign, 32 bytes. Raises ``ValueError`` for a type without FORKID, which no node accepts."""
    if not sighash_type & sighash.FORKID or sighash_type & ~0xFF:
        raise ValueError(f"a signature hash type is one byte with FORKID (0x40) set, not {sighash_type:#x}")
    return coin.hasher.digest(coin.input_index, coin.locking_script.data, coin.satoshis, sighash_type)


def sign(key: PrivateKey, coin: Coin, sighash_type: int = sighash.DEFAULT) -> bytes:
    """DER ‖ hash type."""
    return key.sign(digest(coin, sighash_type)) + bytes((sighash_type,))
