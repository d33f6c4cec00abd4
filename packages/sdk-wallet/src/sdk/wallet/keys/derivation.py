"""Key derivation between two parties (BRC-42).

h = HMAC-SHA256(shared point (33 bytes), invoice number (UTF-8))
private child of the recipient = recipient + h        public child = Recipient + h·G
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.wallet.keys.hashes import hmac_sha256

if TYPE_CHECKING:
    from sdk.wallet.keys.private_key import PrivateKey
    from sdk.wallet.keys.public_key import PublicKey


def tweak(shared_secret: bytes, invoice: str) -> bytes:
    """h, 32 bytes."""
    return hmac_sha256(shared_secret, invoice.encode())


def derive_private_child(recipient: PrivateKey, sender: PublicKey, invoice: str) -> PrivateKey:
    """The recipient's private child. Raises ``DerivationError`` (probability 2^-128)."""
    return recipient.add(tweak(recipient.shared_secret(sender), invoice))


def derive_public_child(sender: PrivateKey, recipient: PublicKey, invoice: str) -> PublicKey:
    """The recipient's public child, as the sender computes it. Raises ``DerivationError`` (probability 2^-128)."""
    return recipient.add(tweak(sender.shared_secret(recipient), invoice))
