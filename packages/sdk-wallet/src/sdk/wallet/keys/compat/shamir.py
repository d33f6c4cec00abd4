"""Shamir backup shares of a private key, in the reference's text form ``x.y.threshold.integrity``.

x and y are points of a polynomial over the field of secp256k1 whose value at 0 is the key, in base58; integrity is the
first 8 hex digits of the public key's hash160. Fewer shares than the threshold say nothing about the key.
"""

from __future__ import annotations

import hmac
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.errors import ParseError
from sdk.wallet.keys import base58
from sdk.wallet.keys.curve import FIELD
from sdk.wallet.keys.errors import InvalidPrivateKey
from sdk.wallet.keys.private_key import PrivateKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.ports import Entropy

_WHAT = "backup share"
_INTEGRITY = re.compile(r"[0-9a-f]{8}", re.ASCII)
MAX_SHARES = 255


class Share(NamedTuple):
    """One share. Does not print its y."""

    x: int
    y: int
    threshold: int
    integrity: str

    @classmethod
    def parse(cls, text: str) -> Share:
        """Raises ``ParseError``; the message does not repeat the share."""
        parts = text.strip().split(".")
        if len(parts) != 4:
            raise ParseError(_WHAT, f"has {len(parts)} parts between dots instead of 4")
        x, y = (_field_element(part) for part in parts[:2])
        if x == 0:
            raise ParseError(_WHAT, "x is zero, where the key itself would be")
        if not (parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 4) or int(parts[2]) < 2:
            raise ParseError(_WHAT, "the threshold is a number from 2 on")
        if _INTEGRITY.fullmatch(parts[3]) is None:
            raise ParseError(_WHAT, "the integrity check is 8 hex digits")
        return cls(x, y, int(parts[2]), parts[3])

    def __str__(self) -> str:
        """The text form. Handle with care."""
        return f"{_encode(self.x)}.{_encode(self.y)}.{self.threshold}.{self.integrity}"

    def __repr__(self) -> str:
        return f"Share(hidden, threshold={self.threshold}, integrity={self.integrity})"


def split(key: PrivateKey, threshold: int, total: int, entropy: Entropy = os.urandom) -> list[Share]:
    """``total`` shares, any ``threshold`` of which give the key back. Raises ``ValueError``."""
    if not 2 <= threshold <= total <= MAX_SHARES:
        raise ValueError(f"of 2 to {MAX_SHARES} shares 2 or more must be needed, not {threshold} of {total}")
    coefficients = [int.from_bytes(key.to_bytes(), "big")]
    coefficients += [_random_element(entropy) for _ in range(threshold - 1)]
    integrity = _integrity(key)
    shares: dict[int, Share] = {}
    while len(shares) < total:
        x = _random_element(entropy)
        if x:
            shares[x] = Share(x, _evaluate(coefficients, x), threshold, integrity)
    return list(shares.values())


def join(shares: Sequence[Share]) -> PrivateKey:
    """The key. Raises ``ParseError`` if the shares are too few, twice the same, or not of one key."""
    if not shares:
        raise ParseError(_WHAT, "there is none")
    threshold, integrity = shares[0].threshold, shares[0].integrity
    if any((share.threshold, share.integrity) != (threshold, integrity) for share in shares):
        raise ParseError(_WHAT, "the shares are not of one set: their last two parts differ")
    if len({share.x for share in shares}) != len(shares):
        raise ParseError(_WHAT, "a share is there twice")
    if len(shares) < threshold:
        raise ParseError(_WHAT, f"{threshold} shares are needed, {len(shares)} are there")
    value = _at_zero(shares[:threshold])
    try:
        key = PrivateKey.from_int(value)
    except InvalidPrivateKey:
        raise ParseError(_WHAT, "the shares do not belong together") from None
    if not hmac.compare_digest(_integrity(key), integrity):
        raise ParseError(_WHAT, "the shares do not belong together")
    return key


def to_backup_shares(key: PrivateKey, threshold: int, total: int, entropy: Entropy = os.urandom) -> list[str]:
    """``split`` as text."""
    return [str(share) for share in split(key, threshold, total, entropy)]


def from_backup_shares(texts: Sequence[str]) -> PrivateKey:
    """``join`` of text. Raises ``ParseError``."""
    return join([Share.parse(text) for text in texts])


def _evaluate(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % FIELD
    return value


def _at_zero(shares: Sequence[Share]) -> int:
    """Lagrange interpolation at 0."""
    total = 0
    for share in shares:
        numerator, denominator = 1, 1
        for other in shares:
            if other.x != share.x:
                numerator = numerator * -other.x % FIELD
                denominator = denominator * (share.x - other.x) % FIELD
        total += share.y * numerator * pow(denominator, -1, FIELD)
    return total % FIELD


def _random_element(entropy: Entropy) -> int:
    while True:
        value = int.from_bytes(entropy(32), "big")
        if value < FIELD:
            return value


def _field_element(text: str) -> int:
    data = base58.decode(text, _WHAT)
    value = int.from_bytes(data, "big")
    if not data or len(data) > 32 or value >= FIELD:
        raise ParseError(_WHAT, "a coordinate is not below the field's size")
    return value


def _encode(value: int) -> str:
    return base58.encode(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _integrity(key: PrivateKey) -> str:
    return key.public_key.hash160().hex()[:8]
