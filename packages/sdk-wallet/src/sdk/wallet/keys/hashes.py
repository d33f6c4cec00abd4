"""The digests of the protocol."""

from __future__ import annotations

import hashlib
import hmac

from sdk.core.encodings import hash256
from sdk.wallet.keys import _ripemd160

__all__ = ["hash160", "hash256", "hmac_sha256", "hmac_sha512", "ripemd160", "sha256"]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def hmac_sha512(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha512")


def _openssl_ripemd160(data: bytes) -> bytes:
    return hashlib.new("ripemd160", data).digest()


def _available() -> bool:
    try:
        hashlib.new("ripemd160")
    except ValueError:
        return False
    return True


ripemd160 = _openssl_ripemd160 if _available() else _ripemd160.ripemd160


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256: what an address holds."""
    return ripemd160(hashlib.sha256(data).digest())
