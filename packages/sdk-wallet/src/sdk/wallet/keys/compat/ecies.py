"""ECIES as Electrum (``BIE1``) and Bitcore wrote it. For what exists; new messages are better off with BRC-78.

Electrum: "BIE1" ‖ sender (33), unless both know it ‖ AES-128-CBC ‖ HMAC-SHA256 of all before
Bitcore:  sender (33) ‖ IV (16) ‖ AES-256-CBC ‖ HMAC-SHA256 of IV and ciphertext
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sdk.core.errors import DecryptionFailed, InvalidPublicKey, ParseError
from sdk.wallet.keys.hashes import hmac_sha256
from sdk.wallet.keys.private_key import PrivateKey
from sdk.wallet.keys.public_key import PublicKey

if TYPE_CHECKING:
    from sdk.core.ports import Entropy

_MAGIC = b"BIE1"
_BLOCK = 16
_MAC = 32
_WHAT = "ECIES message"


class _Keys(NamedTuple):
    cipher: bytes
    mac: bytes


def electrum_encrypt(
    message: bytes, recipient: PublicKey, sender: PrivateKey | None = None, *, with_key: bool = True
) -> bytes:
    """Without ``sender`` a key is made for this message; without ``with_key`` the recipient must know the sender."""
    key = sender or PrivateKey.generate()
    iv, keys = _electrum_keys(key, recipient)
    header = _MAGIC + (key.public_key.to_bytes() if with_key else b"")
    body = header + _cbc_encrypt(keys.cipher, iv, message)
    return body + hmac_sha256(keys.mac, body)


def electrum_decrypt(data: bytes, recipient: PrivateKey, sender: PublicKey | None = None) -> bytes:
    """``sender`` is needed where the message does not name one, and must be the one where it does.

    Raises ``ParseError`` or ``DecryptionFailed``.
    """
    if data[:4] != _MAGIC:
        raise ParseError(_WHAT, "does not begin with BIE1", 0)
    body, mac = data[:-_MAC], data[-_MAC:]
    for size in (33, 65, 0):
        named = sender if size == 0 else _named_sender(body, size)
        if named is None or (sender is not None and named != sender):
            continue
        iv, keys = _electrum_keys(recipient, named)
        if hmac.compare_digest(hmac_sha256(keys.mac, body), mac):
            return _cbc_decrypt(keys.cipher, iv, body[4 + size :])
    raise DecryptionFailed("The message was altered, is for another key, or is from another sender.")


def _named_sender(body: bytes, size: int) -> PublicKey | None:
    encoded = body[4 : 4 + size]
    if len(encoded) != size or len(body) - 4 - size < _BLOCK:
        return None
    try:
        return PublicKey.from_any_encoding(encoded)
    except InvalidPublicKey:
        return None


def _electrum_keys(mine: PrivateKey, theirs: PublicKey) -> tuple[bytes, _Keys]:
    digest = hashlib.sha512(mine.shared_secret(theirs)).digest()
    return digest[:16], _Keys(digest[16:32], digest[32:])


def bitcore_encrypt(
    message: bytes, recipient: PublicKey, sender: PrivateKey | None = None, entropy: Entropy = os.urandom
) -> bytes:
    """Without ``sender`` a key is made for this message."""
    key = sender or PrivateKey.generate(entropy)
    keys, iv = _bitcore_keys(key, recipient), entropy(_BLOCK)
    sealed = iv + _cbc_encrypt(keys.cipher, iv, message)
    return key.public_key.to_bytes() + sealed + hmac_sha256(keys.mac, sealed)


def bitcore_decrypt(data: bytes, recipient: PrivateKey) -> bytes:
    """Raises ``ParseError`` or ``DecryptionFailed``."""
    if len(data) < 33 + 2 * _BLOCK + _MAC:
        raise ParseError(_WHAT, f"takes at least {33 + 2 * _BLOCK + _MAC} bytes, has {len(data)}")
    try:
        keys = _bitcore_keys(recipient, PublicKey(data[:33]))
    except InvalidPublicKey as error:
        raise ParseError(_WHAT, str(error), 0) from None
    sealed, mac = data[33:-_MAC], data[-_MAC:]
    if not hmac.compare_digest(hmac_sha256(keys.mac, sealed), mac):
        raise DecryptionFailed
    return _cbc_decrypt(keys.cipher, sealed[:_BLOCK], sealed[_BLOCK:])


def _bitcore_keys(mine: PrivateKey, theirs: PublicKey) -> _Keys:
    digest = hashlib.sha512(mine.shared_secret(theirs)[1:]).digest()
    return _Keys(digest[:32], digest[32:])


def _cbc_encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    padder = padding.PKCS7(8 * _BLOCK).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def _cbc_decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Only after the MAC has been checked, so that the padding tells nothing."""
    if not ciphertext or len(ciphertext) % _BLOCK:
        raise DecryptionFailed(f"The ciphertext is not in blocks of {_BLOCK} bytes.")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(8 * _BLOCK).unpadder()
    try:
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise DecryptionFailed from None
