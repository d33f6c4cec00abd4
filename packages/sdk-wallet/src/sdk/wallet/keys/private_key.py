"""Private keys."""

from __future__ import annotations

import hmac
import os
import re
from typing import TYPE_CHECKING, NoReturn

from sdk.core.errors import ParseError
from sdk.wallet.keys import base58, curve
from sdk.wallet.keys.address import wif_version
from sdk.wallet.keys.errors import DerivationError, InvalidPrivateKey
from sdk.wallet.keys.public_key import PublicKey

if TYPE_CHECKING:
    from sdk.core.ports import Entropy

_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class PrivateKey:
    """A scalar from 1 to order-1, as 32 bytes.

    It never prints itself, is not pickled, is compared in constant time and cannot be a dictionary key. Python gives no
    way to wipe it: the bytes live until the interpreter reuses their memory (docs/security.md).
    """

    __slots__ = ("_public", "_secret")

    _secret: bytes
    _public: PublicKey | None

    def __init__(self, secret: bytes) -> None:
        """``secret`` is 32 bytes. Raises ``InvalidPrivateKey``; nothing is reduced modulo the order."""
        if not isinstance(secret, bytes) or len(secret) != 32:
            raise InvalidPrivateKey("a private key has 32 bytes")
        if not curve.is_scalar(secret):
            raise InvalidPrivateKey("a private key is neither zero nor as large as the curve order")
        self._secret = secret
        self._public = None

    @classmethod
    def generate(cls, entropy: Entropy = os.urandom) -> PrivateKey:
        """A new key from 32 bytes of ``entropy`` (again, should they be out of range)."""
        while True:
            secret = entropy(32)
            if curve.is_scalar(secret):
                return cls(secret)

    @classmethod
    def from_bytes(cls, data: bytes) -> PrivateKey:
        return cls(data)

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """64 hex digits. Raises ``InvalidPrivateKey``."""
        if not isinstance(text, str) or _HEX.fullmatch(text) is None:
            raise InvalidPrivateKey("a private key is 64 hex digits")
        return cls(bytes.fromhex(text))

    @classmethod
    def from_int(cls, value: int) -> PrivateKey:
        """Raises ``InvalidPrivateKey``."""
        if not 0 < value < curve.ORDER:
            raise InvalidPrivateKey("a private key is neither zero nor as large as the curve order")
        return cls(value.to_bytes(32, "big"))

    @classmethod
    def from_wif(cls, text: str, chain: str | None = None) -> PrivateKey:
        """From wallet import format, compressed or not; with ``chain`` the version byte must be that chain's.

        Raises ``InvalidPrivateKey``.
        """
        try:
            payload = base58.decode_check(text, "WIF")
        except ParseError as error:
            raise InvalidPrivateKey(error.message) from None
        versions = (0x80, 0xEF) if chain is None else (wif_version(chain),)
        if not payload or payload[0] not in versions:
            raise InvalidPrivateKey("the version byte of this WIF is of another network, or it is no WIF")
        if len(payload) == 34 and payload[33] != 1:
            raise InvalidPrivateKey("a WIF ends with 01 or with the key itself")
        if len(payload) not in (33, 34):
            raise InvalidPrivateKey(f"a WIF holds 33 or 34 bytes, not {len(payload)}")
        return cls(payload[1:33])

    @property
    def public_key(self) -> PublicKey:
        if self._public is None:
            self._public = PublicKey.from_point(curve.public_point(self._secret))
        return self._public

    def to_bytes(self) -> bytes:
        """32 bytes. Handle with care."""
        return self._secret

    def to_hex(self) -> str:
        """64 hex digits. Handle with care."""
        return self._secret.hex()

    def to_wif(self, chain: str = "main") -> str:
        """Wallet import format of a compressed key. Handle with care."""
        return base58.encode_check(bytes([wif_version(chain)]) + self._secret + b"\x01")

    def sign(self, digest: bytes) -> bytes:
        """DER signature of a 32-byte digest: low S, deterministic (RFC 6979). Raises ``ValueError``."""
        return curve.sign(self._secret, digest)

    def sign_recoverable(self, digest: bytes) -> tuple[bytes, int]:
        """The same signature as r ‖ s, and the recovery id."""
        return curve.sign_recoverable(self._secret, digest)

    def shared_secret(self, other: PublicKey) -> bytes:
        """The shared point (ECDH), 33 bytes, in constant time."""
        return curve.shared_point(self._secret, other.point)

    def add(self, scalar: bytes) -> PrivateKey:
        """This key plus ``scalar`` modulo the order. Raises ``DerivationError`` if there is no such key."""
        try:
            return _trusted(curve.add_scalars(self._secret, scalar))
        except ValueError:
            raise DerivationError("the sum of the key and this scalar is no private key") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and hmac.compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # dictionaries compare neither in constant time nor out of sight

    def __repr__(self) -> str:
        return "PrivateKey(hidden)"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a private key is not pickled; say to_bytes() where it must leave the process")

    def __copy__(self) -> PrivateKey:
        return self

    def __deepcopy__(self, _memo: object) -> PrivateKey:
        return self


def _trusted(secret: bytes) -> PrivateKey:
    """A key of 32 bytes that are known to be a scalar."""
    key = object.__new__(PrivateKey)
    key._secret = secret
    key._public = None
    return key


ANYONE = PrivateKey.from_int(1)
"""The well-known key of the counterparty ``anyone`` (BRC-43): what it may do, everyone may do."""
