"""The digests of the protocol."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from sdk.core.encodings import hash256
from sdk.wallet.keys import _ripemd160

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["hash160", "hash256", "hmac_sha256", "hmac_sha512", "ripemd160", "sha256"]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def hmac_sha512(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha512")


def _fastest_ripemd160() -> Callable[[bytes], bytes]:
    """OpenSSL's where it has it. It looks the algorithm up by name each time, so copies of one empty state are used."""
    try:
        empty = hashlib.new("ripemd160")
    except ValueError:
        return _ripemd160.ripemd160

    def digest(data: bytes) -> bytes:
        state = empty.copy()
        state.update(data)
        return state.digest()

    return digest


ripemd160 = _fastest_ripemd160()


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256: what an address holds."""
    return ripemd160(hashlib.sha256(data).digest())
