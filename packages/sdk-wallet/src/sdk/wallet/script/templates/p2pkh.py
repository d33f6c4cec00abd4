"""Pay to public key hash: DUP HASH160 <20 bytes> EQUALVERIFY CHECKSIG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.script import Script, push
from sdk.wallet.keys.address import Address
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.signing import sign

if TYPE_CHECKING:
    from sdk.wallet.keys import PrivateKey, PublicKey
    from sdk.wallet.script.templates.signing import Coin

LOCKING_SIZE = 25
UNLOCKING_SIZE = 107
"""The largest: a push of 72 and a push of 33 bytes."""


def lock(public_key_hash: bytes) -> Script:
    """25 bytes. Raises ``ValueError`` unless 20 bytes are given."""
    if len(public_key_hash) != 20:
        raise ValueError(f"a public key hash has 20 bytes, not {len(public_key_hash)}")
    return Script(b"\x76\xa9\x14" + public_key_hash + b"\x88\xac")


def lock_to_key(key: PublicKey) -> Script:
    return lock(key.hash160())


def lock_to_address(address: str) -> Script:
    """Raises ``ParseError``."""
    return lock(Address.parse(address).public_key_hash)


def unlock(key: PrivateKey, coin: Coin, sighash_type: int = sighash.DEFAULT) -> Script:
    """At most 107 bytes."""
    return Script(push(sign(key, coin, sighash_type)) + push(key.public_key.to_bytes()))


def decode(script: Script) -> bytes:
    """The public key hash. Raises ``TemplateError``."""
    if not script.is_p2pkh():
        raise TemplateError("P2PKH script", "it is not DUP HASH160 <20 bytes> EQUALVERIFY CHECKSIG")
    return script.data[3:23]
