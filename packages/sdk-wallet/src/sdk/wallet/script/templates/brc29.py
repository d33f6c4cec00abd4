"""Payments between identities (BRC-29): P2PKH to a key derived for one output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.wallet.script import sighash
from sdk.wallet.script.templates import p2pkh

if TYPE_CHECKING:
    from sdk.core.script import Script
    from sdk.wallet.keys import KeyDeriver, PrivateKey
    from sdk.wallet.keys.deriver import Counterparty
    from sdk.wallet.script.templates.signing import Coin

PROTOCOL = (2, "3241645161d8")
LOCKING_SIZE = p2pkh.LOCKING_SIZE
UNLOCKING_SIZE = p2pkh.UNLOCKING_SIZE


def key_id(prefix: str, suffix: str) -> str:
    """The key id of derivation prefix and suffix (base64 texts)."""
    return f"{prefix} {suffix}"


def lock(sender: KeyDeriver, recipient: Counterparty, prefix: str, suffix: str) -> Script:
    """What the sender pays to. Raises ``InvalidParameter`` (``keyID``, ``counterparty``)."""
    return p2pkh.lock_to_key(sender.derive_public_key(PROTOCOL, key_id(prefix, suffix), recipient))


def lock_as_received(recipient: KeyDeriver, sender: Counterparty, prefix: str, suffix: str) -> Script:
    """What a payment from ``sender`` must pay to, as the recipient derives it. Raises ``InvalidParameter``."""
    return p2pkh.lock_to_key(recipient.derive_public_key(PROTOCOL, key_id(prefix, suffix), sender, for_self=True))


def unlocking_key(recipient: KeyDeriver, sender: Counterparty, prefix: str, suffix: str) -> PrivateKey:
    """The key that spends it. Raises ``InvalidParameter``."""
    return recipient.derive_private_key(PROTOCOL, key_id(prefix, suffix), sender)


def unlock(
    recipient: KeyDeriver,
    sender: Counterparty,
    prefix: str,
    suffix: str,
    coin: Coin,
    sighash_type: int = sighash.DEFAULT,
) -> Script:
    """At most 107 bytes. Raises ``InvalidParameter``."""
    return p2pkh.unlock(unlocking_key(recipient, sender, prefix, suffix), coin, sighash_type)
