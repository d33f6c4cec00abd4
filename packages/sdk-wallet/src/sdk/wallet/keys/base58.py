"""Base58 with the four-byte checksum (addresses, WIF, extended keys)."""

from __future__ import annotations

from sdk.core.errors import ParseError
from sdk.wallet.keys.hashes import hash256

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
MAX_LENGTH = 256  # base conversion is quadratic; nothing of ours is longer than 112


def encode(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def decode(text: str, what: str = "base58 text") -> bytes:
    """Raises ``ParseError`` with the character position."""
    if len(text) > MAX_LENGTH:
        raise ParseError(what, f"longer than {MAX_LENGTH} characters", MAX_LENGTH)
    number = 0
    for position, character in enumerate(text):
        value = _VALUES.get(character)
        if value is None:
            raise ParseError(what, "a character that is not in the base58 alphabet", position)
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def encode_check(payload: bytes) -> str:
    return encode(payload + hash256(payload)[:4])


def decode_check(text: str, what: str = "base58check text") -> bytes:
    """The payload without its checksum. Raises ``ParseError``."""
    data = decode(text, what)
    if len(data) < 5:
        raise ParseError(what, "too short to hold a checksum")
    payload, checksum = data[:-4], data[-4:]
    if hash256(payload)[:4] != checksum:
        raise ParseError(what, "the checksum does not match; a character is wrong")
    return payload
