"""Proof that a revealed shared secret belongs to two public keys (BRC-69, BRC-94; spec/wallet-stack.md §8).

A Schnorr proof of equal discrete logarithms: with random r, R = r·G, S' = r·B, e = SHA-256(A ‖ B ‖ S ‖ S' ‖ R) modulo
the order and z = r + e·a, it holds that z·G = R + e·A and z·B = S' + e·S exactly if S = a·B. The wire form is
R (33) ‖ S' (33) ‖ z (32).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sdk.core.errors import InvalidPublicKey
from sdk.wallet.keys import curve
from sdk.wallet.keys.hashes import sha256
from sdk.wallet.keys.private_key import PrivateKey
from sdk.wallet.keys.public_key import PublicKey

if TYPE_CHECKING:
    from sdk.core.ports import Entropy

PROOF_SIZE = 33 + 33 + 32


def prove_linkage(prover: PrivateKey, counterparty: PublicKey, linkage: bytes, entropy: Entropy = os.urandom) -> bytes:
    """98 bytes that show ``linkage`` (33 bytes) to be the shared secret of the two."""
    nonce = PrivateKey.generate(entropy)
    commitment = nonce.public_key.to_bytes()
    blinded = nonce.shared_secret(counterparty)
    challenge = _challenge(prover.public_key, counterparty, linkage, blinded, commitment)
    response = curve.add_scalars(nonce.to_bytes(), curve.multiply_scalars(prover.to_bytes(), challenge))
    return commitment + blinded + response


def verify_linkage(prover: PublicKey, counterparty: PublicKey, linkage: bytes, proof: bytes) -> bool:
    """Whether ``proof`` holds. A response shorter than 32 bytes, as the reference may write it, is accepted."""
    if not 66 < len(proof) <= PROOF_SIZE:
        return False
    commitment, blinded, response = proof[:33], proof[33:66], proof[66:].rjust(32, b"\0")
    try:
        secret = PublicKey(linkage).point
        first, second = PublicKey(commitment).point, PublicKey(blinded).point
        challenge = _challenge(prover, counterparty, linkage, blinded, commitment)
        return _same(
            curve.public_point(response),
            curve.add_points((first, curve.multiply_public(prover.point, challenge))),
        ) and _same(
            curve.multiply_public(counterparty.point, response),
            curve.add_points((second, curve.multiply_public(secret, challenge))),
        )
    except (InvalidPublicKey, ValueError):  # no point, no scalar, or a sum at infinity: no proof either
        return False


def _challenge(prover: PublicKey, counterparty: PublicKey, linkage: bytes, blinded: bytes, commitment: bytes) -> bytes:
    digest = sha256(prover.to_bytes() + counterparty.to_bytes() + linkage + blinded + commitment)
    return (int.from_bytes(digest, "big") % curve.ORDER).to_bytes(32, "big")


def _same(left: curve.Point, right: curve.Point) -> bool:
    return curve.serialize_point(left) == curve.serialize_point(right)
