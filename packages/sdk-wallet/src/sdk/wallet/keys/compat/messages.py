"""Signed messages (BRC-77) and encrypted messages (BRC-78): each under a key derived for it alone.

signed:    42423301 ‖ signer (33) ‖ verifier (33), or 00 for anyone ‖ key id (32) ‖ DER signature
encrypted: 42421033 ‖ sender (33) ‖ recipient (33) ‖ key id (32) ‖ IV, ciphertext and tag
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from sdk.core.encodings import Reader
from sdk.core.errors import InvalidOperation, InvalidPublicKey
from sdk.wallet.keys.deriver import KeyDeriver
from sdk.wallet.keys.hashes import sha256
from sdk.wallet.keys.private_key import ANYONE
from sdk.wallet.keys.public_key import PublicKey

if TYPE_CHECKING:
    from sdk.core.ports import Entropy
    from sdk.wallet.keys.private_key import PrivateKey

SIGNED_VERSION = bytes.fromhex("42423301")
ENCRYPTED_VERSION = bytes.fromhex("42421033")
_SIGNING = (2, "message signing")
_ENCRYPTION = (2, "message encryption")


def sign(message: bytes, signer: PrivateKey, verifier: PublicKey | None = None, entropy: Entropy = os.urandom) -> bytes:
    """For ``verifier`` alone, or for anyone."""
    key_id = entropy(32)
    counterparty = ANYONE.public_key if verifier is None else verifier
    key = KeyDeriver(signer).derive_private_key(_SIGNING, _text(key_id), counterparty)
    addressed = b"\0" if verifier is None else verifier.to_bytes()
    return SIGNED_VERSION + signer.public_key.to_bytes() + addressed + key_id + key.sign(sha256(message))


def verify(message: bytes, signature: bytes, recipient: PrivateKey | None = None) -> PublicKey | None:
    """The signer, or ``None`` if the signature does not hold.

    Raises ``ParseError`` for malformed bytes, ``InvalidOperation`` if it was made for another verifier.
    """
    reader = Reader(signature, "signed message")
    _expect_version(reader, SIGNED_VERSION)
    signer = _read_key(reader)
    if reader.data[reader.offset : reader.offset + 1] == b"\0":
        reader.read(1, "verifier")
        verifier = ANYONE
    else:
        verifier = _addressed_to(_read_key(reader), recipient, "signed message")
    key_id, der = reader.read(32, "key id"), reader.read(reader.remaining(), "signature")
    key = KeyDeriver(verifier).derive_public_key(_SIGNING, _text(key_id), signer)
    return signer if key.verify(der, sha256(message)) else None


def encrypt(message: bytes, sender: PrivateKey, recipient: PublicKey, entropy: Entropy = os.urandom) -> bytes:
    key_id = entropy(32)
    key = KeyDeriver(sender).derive_symmetric_key(_ENCRYPTION, _text(key_id), recipient)
    header = ENCRYPTED_VERSION + sender.public_key.to_bytes() + recipient.to_bytes() + key_id
    return header + key.encrypt(message, entropy)


def decrypt(message: bytes, recipient: PrivateKey) -> tuple[bytes, PublicKey]:
    """The text, and who sent it.

    Raises ``ParseError``, ``InvalidOperation`` if it is for another recipient, ``DecryptionFailed`` if it was altered.
    """
    reader = Reader(message, "encrypted message")
    _expect_version(reader, ENCRYPTED_VERSION)
    sender = _read_key(reader)
    key = _addressed_to(_read_key(reader), recipient, "encrypted message")
    key_id, ciphertext = reader.read(32, "key id"), reader.read(reader.remaining(), "ciphertext")
    return KeyDeriver(key).derive_symmetric_key(_ENCRYPTION, _text(key_id), sender).decrypt(ciphertext), sender


def _text(key_id: bytes) -> str:
    return base64.b64encode(key_id).decode()


def _expect_version(reader: Reader, version: bytes) -> None:
    found = reader.read(4, "version")
    if found != version:
        raise reader.fail(f"the version is {found.hex()}, not {version.hex()}", 0)


def _read_key(reader: Reader) -> PublicKey:
    start = reader.offset
    try:
        return PublicKey(reader.read(33, "public key"))
    except InvalidPublicKey as error:
        raise reader.fail(str(error), start) from None


def _addressed_to(wanted: PublicKey, holder: PrivateKey | None, what: str) -> PrivateKey:
    if holder is None or holder.public_key != wanted:
        raise InvalidOperation(f"This {what} is for the holder of {wanted.to_hex()}; that key is needed to open it.")
    return holder
