"""AES-256-GCM as BRC-2 uses it: a random 32-byte IV, and IV ‖ ciphertext ‖ 16-byte tag on the wire."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sdk.core.errors import DecryptionFailed

if TYPE_CHECKING:
    from sdk.core.ports import Entropy

IV_SIZE = 32
TAG_SIZE = 16


class SymmetricKey:
    """32 bytes. Does not print itself."""

    __slots__ = ("_cipher", "_secret")

    def __init__(self, secret: bytes) -> None:
        """Raises ``ValueError`` unless 32 bytes are given."""
        if len(secret) != 32:
            raise ValueError("a symmetric key has 32 bytes")
        self._secret = secret
        self._cipher = AESGCM(secret)

    def encrypt(self, plaintext: bytes, entropy: Entropy = os.urandom) -> bytes:
        """IV ‖ ciphertext ‖ tag: 48 bytes more than ``plaintext``."""
        iv = entropy(IV_SIZE)
        return iv + self._cipher.encrypt(iv, plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Raises ``DecryptionFailed``."""
        if len(ciphertext) < IV_SIZE + TAG_SIZE:
            raise DecryptionFailed(f"A ciphertext has at least {IV_SIZE + TAG_SIZE} bytes, not {len(ciphertext)}.")
        try:
            return self._cipher.decrypt(ciphertext[:IV_SIZE], ciphertext[IV_SIZE:], None)
        except InvalidTag:
            raise DecryptionFailed from None

    def to_bytes(self) -> bytes:
        """32 bytes. Handle with care."""
        return self._secret

    def __repr__(self) -> str:
        return "SymmetricKey(hidden)"
