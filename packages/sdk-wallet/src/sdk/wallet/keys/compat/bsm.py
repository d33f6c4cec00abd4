"""Bitcoin Signed Messages: the older form, checked against an address or a public key."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from sdk.core.encodings import hash256, varint
from sdk.core.errors import ParseError
from sdk.wallet.keys import curve
from sdk.wallet.keys.address import Address
from sdk.wallet.keys.hashes import hash160
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.keys.signature import CompactSignature

if TYPE_CHECKING:
    from sdk.wallet.keys.private_key import PrivateKey

_PREFIX = b"Bitcoin Signed Message:\n"


def magic_hash(message: bytes) -> bytes:
    """What is signed, 32 bytes."""
    return hash256(varint(len(_PREFIX)) + _PREFIX + varint(len(message)) + message)


def sign(message: bytes, key: PrivateKey) -> str:
    """Base64 of the compact signature (65 bytes), for a compressed key."""
    r_and_s, recovery = key.sign_recoverable(magic_hash(message))
    return base64.b64encode(CompactSignature(r_and_s, recovery).to_bytes()).decode()


def parse(signature: str | bytes) -> CompactSignature:
    """From base64 or 65 bytes. Raises ``ParseError``."""
    if isinstance(signature, str):
        try:
            signature = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raise ParseError("signed message", "the signature is not base64") from None
    return CompactSignature.from_bytes(signature)


def recover(message: bytes, signature: str | bytes) -> PublicKey:
    """The key that signed. Raises ``ParseError`` for a malformed signature or one that no key can have made."""
    compact = parse(signature)
    try:
        return PublicKey.from_point(curve.recover(compact.r_and_s, compact.recovery, magic_hash(message)))
    except ValueError as error:
        raise ParseError("signed message", str(error)) from None


def verify(message: bytes, signature: str | bytes, signer: PublicKey | str) -> bool:
    """Whether ``signer`` (a key, or an address) has signed. Raises ``ParseError`` for what is malformed."""
    if isinstance(signer, PublicKey):
        return curve.verify_compact(signer.point, parse(signature).r_and_s, magic_hash(message))
    wanted = Address.parse(signer).public_key_hash
    key = recover(message, signature)
    encoded = key.to_bytes() if parse(signature).compressed else key.to_uncompressed()
    return hash160(encoded) == wanted
