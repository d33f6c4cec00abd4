"""One-time passwords over time (RFC 6238, RFC 4226). The time is given, in Unix seconds."""

from __future__ import annotations

import hmac
from typing import Literal, TypeAlias

Algorithm: TypeAlias = Literal["SHA-1", "SHA-256", "SHA-512"]
_DIGESTS = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}


def generate(secret: bytes, time: float, *, digits: int = 2, period: int = 30, algorithm: Algorithm = "SHA-1") -> str:
    """``digits`` decimal digits, two by default as in the reference. Raises ``ValueError`` unless 1 to 10."""
    return _password(secret, int(time // period), digits, algorithm)


def validate(
    secret: bytes,
    passcode: str,
    time: float,
    *,
    digits: int = 2,
    period: int = 30,
    algorithm: Algorithm = "SHA-1",
    skew: int = 1,
) -> bool:
    """Whether ``passcode`` is right for ``time`` or up to ``skew`` periods before or after. Always tries them all."""
    given = passcode.strip().encode()
    counter = int(time // period)
    found = False
    for step in range(-skew, skew + 1):
        if counter + step >= 0:
            expected = _password(secret, counter + step, digits, algorithm).encode()
            found |= hmac.compare_digest(expected, given)
    return found


def _password(secret: bytes, counter: int, digits: int, algorithm: Algorithm) -> str:
    if not 1 <= digits <= 10:
        raise ValueError(f"a password has 1 to 10 digits, not {digits}")
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), _DIGESTS[algorithm])
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"
