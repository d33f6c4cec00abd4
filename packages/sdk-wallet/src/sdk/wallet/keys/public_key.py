"""Public keys."""

from __future__ import annotations

from binascii import unhexlify
from typing import TYPE_CHECKING

from sdk.core.errors import InvalidPublicKey
from sdk.wallet.keys import curve
from sdk.wallet.keys.address import Address
from sdk.wallet.keys.errors import DerivationError
from sdk.wallet.keys.hashes import hash160

if TYPE_CHECKING:
    from sdk.wallet.keys.curve import Point


class PublicKey:
    """A point of secp256k1, 33 bytes compressed. Immutable, hashable, ordered by nothing."""

    __slots__ = ("_data", "_point")

    _data: bytes
    _point: Point

    def __init__(self, data: bytes) -> None:
        """``data`` is 33 bytes. Raises ``InvalidPublicKey``."""
        if not isinstance(data, bytes) or len(data) != 33:
            raise InvalidPublicKey(_shown(data), "A public key has 33 bytes (compressed).")
        try:
            self._point = curve.parse_point(data)
        except ValueError:
            raise InvalidPublicKey(data.hex()) from None
        self._data = data

    @classmethod
    def from_point(cls, point: Point) -> PublicKey:
        """From a libsecp256k1 point that is known to be one."""
        key = cls.__new__(cls)
        key._point = point
        key._data = curve.serialize_point(point)
        return key

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicKey:
        return cls(data)

    @classmethod
    def from_hex(cls, text: str) -> PublicKey:
        """66 hex digits. Raises ``InvalidPublicKey``."""
        try:
            data = unhexlify(text)
        except (TypeError, ValueError):
            data = b""
        if len(data) != 33 or not isinstance(text, str):
            raise InvalidPublicKey(_shown(text), "A public key is 66 hex digits that begin with 02 or 03 (compressed).")
        return cls(data)

    @classmethod
    def from_any_encoding(cls, data: bytes) -> PublicKey:
        """From 33 bytes, or 65 uncompressed (04). Raises ``InvalidPublicKey``."""
        if len(data) == 65 and data[0] == 4:
            try:
                return cls.from_point(curve.parse_point(data))
            except ValueError:
                raise InvalidPublicKey(data.hex()) from None
        return cls(data)

    @property
    def point(self) -> Point:
        return self._point

    def to_bytes(self) -> bytes:
        """33 bytes."""
        return self._data

    def to_uncompressed(self) -> bytes:
        """65 bytes."""
        return curve.serialize_point_uncompressed(self._point)

    def to_hex(self) -> str:
        """66 hex digits."""
        return self._data.hex()

    def hash160(self) -> bytes:
        """20 bytes, of the compressed form."""
        return hash160(self._data)

    def address(self, chain: str = "main") -> str:
        """The P2PKH address on ``chain``."""
        return str(Address("main" if chain == "main" else "test", self.hash160()))

    def verify(self, signature: bytes, digest: bytes) -> bool:
        """Whether the DER ``signature`` (low S) holds for the 32-byte ``digest``; malformed is false."""
        return curve.verify(self._point, signature, digest)

    def add(self, scalar: bytes) -> PublicKey:
        """This point plus ``scalar``·G. Raises ``DerivationError`` if there is no such point."""
        try:
            return PublicKey.from_point(curve.add_generator(self._point, scalar))
        except ValueError:
            raise DerivationError("the sum of the key and this scalar is no public key") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)

    def __repr__(self) -> str:
        return f"PublicKey({self._data.hex()})"

    def __reduce__(self) -> tuple[type[PublicKey], tuple[bytes]]:
        return PublicKey, (self._data,)


def _shown(value: object) -> str:
    """A hostile value, short enough for a message."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 140 else text[:137] + "..."
