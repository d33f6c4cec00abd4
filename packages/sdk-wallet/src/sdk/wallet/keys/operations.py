"""What a wallet does with derived keys: BRC-2 encryption, BRC-56 HMAC, BRC-3 signatures, BRC-69/72 key linkage.

Plain functions over a ``KeyDeriver``. All raise ``InvalidParameter`` for a malformed ``protocol_id``, ``key_id`` or
``counterparty``.
"""

from __future__ import annotations

import hmac as _hmac
import os
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.errors import InvalidHmac, InvalidParameter, InvalidSignature
from sdk.wallet.keys.hashes import hmac_sha256, sha256
from sdk.wallet.keys.linkage import prove_linkage
from sdk.wallet.keys.protocol import linkage_protocol

if TYPE_CHECKING:
    from sdk.core.ports import Entropy
    from sdk.wallet.keys.deriver import Counterparty, KeyDeriver
    from sdk.wallet.keys.protocol import ProtocolID

COUNTERPARTY_LINKAGE_PROTOCOL = (2, "counterparty linkage revelation")
NO_PROOF = b"\0"


class Linkage(NamedTuple):
    """What a revelation gives the verifier, both parts encrypted."""

    encrypted_linkage: bytes
    encrypted_proof: bytes


def encrypt(
    deriver: KeyDeriver,
    plaintext: bytes,
    *,
    protocol_id: ProtocolID,
    key_id: str,
    counterparty: Counterparty = "self",
    entropy: Entropy = os.urandom,
) -> bytes:
    """IV (32) ‖ ciphertext ‖ tag (16)."""
    return deriver.derive_symmetric_key(protocol_id, key_id, counterparty).encrypt(plaintext, entropy)


def decrypt(
    deriver: KeyDeriver,
    ciphertext: bytes,
    *,
    protocol_id: ProtocolID,
    key_id: str,
    counterparty: Counterparty = "self",
) -> bytes:
    """Raises ``DecryptionFailed``."""
    return deriver.derive_symmetric_key(protocol_id, key_id, counterparty).decrypt(ciphertext)


def create_hmac(
    deriver: KeyDeriver, data: bytes, *, protocol_id: ProtocolID, key_id: str, counterparty: Counterparty = "self"
) -> bytes:
    """32 bytes."""
    key = deriver.derive_symmetric_key(protocol_id, key_id, counterparty).to_bytes()
    return hmac_sha256(key.lstrip(b"\0"), data)  # the wire's HMAC key is the number without leading zeros


def verify_hmac(
    deriver: KeyDeriver,
    data: bytes,
    hmac: bytes,
    *,
    protocol_id: ProtocolID,
    key_id: str,
    counterparty: Counterparty = "self",
) -> None:
    """Raises ``InvalidHmac``."""
    expected = create_hmac(deriver, data, protocol_id=protocol_id, key_id=key_id, counterparty=counterparty)
    if not _hmac.compare_digest(expected, hmac):
        raise InvalidHmac


def create_signature(
    deriver: KeyDeriver,
    data: bytes | None = None,
    *,
    protocol_id: ProtocolID,
    key_id: str,
    counterparty: Counterparty = "anyone",
    digest: bytes | None = None,
) -> bytes:
    """DER, low S, of SHA-256(``data``) or of a 32-byte ``digest``. Raises ``InvalidParameter`` unless one is given."""
    hashed = _digest(data, digest, "hashToDirectlySign")
    return deriver.derive_private_key(protocol_id, key_id, counterparty).sign(hashed)


def verify_signature(
    deriver: KeyDeriver,
    data: bytes | None,
    signature: bytes,
    *,
    protocol_id: ProtocolID,
    key_id: str,
    counterparty: Counterparty = "self",
    for_self: bool = False,
    digest: bytes | None = None,
) -> None:
    """Raises ``InvalidSignature`` (also for a high S or a lax encoding), or ``InvalidParameter``."""
    hashed = _digest(data, digest, "hashToDirectlyVerify")
    key = deriver.derive_public_key(protocol_id, key_id, counterparty, for_self)
    if not key.verify(signature, hashed):
        raise InvalidSignature


def reveal_counterparty_linkage(
    deriver: KeyDeriver,
    *,
    counterparty: Counterparty,
    verifier: Counterparty,
    revelation_time: str,
    entropy: Entropy = os.urandom,
) -> Linkage:
    """The shared secret with ``counterparty``, and a proof of it, for ``verifier`` alone (BRC-69).

    ``revelation_time`` is ISO-8601 text and serves as key id. Raises ``InvalidOperation`` for oneself.
    """
    linkage = deriver.reveal_counterparty_secret(counterparty)
    proof = prove_linkage(deriver.root_key, deriver.resolve(counterparty), linkage, entropy)
    key = deriver.derive_symmetric_key(COUNTERPARTY_LINKAGE_PROTOCOL, revelation_time, verifier)
    return Linkage(key.encrypt(linkage, entropy), key.encrypt(proof, entropy))


def reveal_specific_linkage(
    deriver: KeyDeriver,
    *,
    counterparty: Counterparty,
    verifier: Counterparty,
    protocol_id: ProtocolID,
    key_id: str,
    entropy: Entropy = os.urandom,
) -> Linkage:
    """The linkage of one key for ``verifier`` alone; no proof is given, proof type 0 (BRC-72)."""
    linkage = deriver.reveal_specific_secret(counterparty, protocol_id, key_id)
    key = deriver.derive_symmetric_key(linkage_protocol(protocol_id), key_id, verifier)
    return Linkage(key.encrypt(linkage, entropy), key.encrypt(NO_PROOF, entropy))


def _digest(data: bytes | None, digest: bytes | None, name: str) -> bytes:
    if digest is None:
        if data is None:
            raise InvalidParameter("data", f"present, or {name}")
        return sha256(data)
    if data is not None:
        raise InvalidParameter(name, "absent when data is given: one of the two is signed")
    if len(digest) != 32:
        raise InvalidParameter(name, f"32 bytes, not {len(digest)}")
    return digest
