"""Encodings of ECDSA signatures: strict DER (BIP 66) and the 65-byte compact form with a recovery id."""

from __future__ import annotations

from typing import NamedTuple

from sdk.core.errors import ParseError

MAX_DER = 72


def encode_der(r: int, s: int) -> bytes:
    """The one DER form of two positive numbers below 2^256."""
    body = _encode_integer(r) + _encode_integer(s)
    return b"\x30" + bytes((len(body),)) + body


def decode_der(data: bytes) -> tuple[int, int]:
    """(r, s), possibly zero or above the order. Raises ``ParseError`` unless strictly encoded."""
    if not 8 <= len(data) <= MAX_DER:
        raise ParseError("signature", f"DER takes 8 to {MAX_DER} bytes, not {len(data)}")
    if data[0] != 0x30:
        raise ParseError("signature", "does not begin with 30", 0)
    if data[1] != len(data) - 2:
        raise ParseError("signature", f"says {data[1]} bytes follow; {len(data) - 2} do", 1)
    r, offset = _decode_integer(data, 2)
    s, offset = _decode_integer(data, offset)
    if offset != len(data):
        raise ParseError("signature", "trailing bytes", offset)
    return r, s


def is_strict_der(data: bytes) -> bool:
    try:
        decode_der(data)
    except ParseError:
        return False
    return True


class CompactSignature(NamedTuple):
    """r ‖ s with what is needed to find the public key: 27 + recovery id (0..3) + 4 if the key is compressed."""

    r_and_s: bytes
    recovery: int
    compressed: bool = True

    def to_bytes(self) -> bytes:
        """65 bytes. Raises ``ValueError`` for a recovery id that does not exist."""
        if not 0 <= self.recovery <= 3 or len(self.r_and_s) != 64:
            raise ValueError("r and s take 64 bytes and the recovery id is 0..3")
        return bytes((27 + self.recovery + (4 if self.compressed else 0),)) + self.r_and_s

    @classmethod
    def from_bytes(cls, data: bytes) -> CompactSignature:
        """Raises ``ParseError``."""
        if len(data) != 65:
            raise ParseError("compact signature", f"takes 65 bytes, not {len(data)}")
        if not 27 <= data[0] <= 34:
            raise ParseError("compact signature", f"the first byte is 27 to 34, not {data[0]}", 0)
        recovery, compressed = (data[0] - 27) & 3, data[0] >= 31
        return cls(data[1:], recovery, compressed)

    def to_der(self) -> bytes:
        return encode_der(int.from_bytes(self.r_and_s[:32], "big"), int.from_bytes(self.r_and_s[32:], "big"))


def _encode_integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes((len(data),)) + data


def _decode_integer(data: bytes, offset: int) -> tuple[int, int]:
    if offset + 2 > len(data) or data[offset] != 0x02:
        raise ParseError("signature", "an integer (02, length) must stand here", offset)
    start = offset + 2
    end = start + data[offset + 1]
    body = data[start:end]
    if end > len(data) or not 1 <= len(body) <= 33:
        raise ParseError("signature", "the integer is empty or longer than what is left", offset)
    if body[0] & 0x80:
        raise ParseError("signature", "the integer is negative", start)
    if len(body) > 1 and body[0] == 0 and not body[1] & 0x80:
        raise ParseError("signature", "the integer has a needless leading zero", start)
    return int.from_bytes(body, "big"), end
