"""Block headers, compact targets and work (spec/consensus.md §2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Self

from sdk.core.encodings import as_bytes, bytes_from_hex, from_display, hash256, to_display
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from sdk.core.encodings import Buffer

HEADER_SIZE = 80
_LAYOUT = Struct("<i32s32sIII")
_ALL_ONES = (1 << 256) - 1


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """80 bytes: version i32, previous hash, merkle root (display hex here), time u32 (Unix seconds), bits, nonce u32.

    The constructor raises ``ParseError`` for a hash that is not 64 hex characters, ``ValueError`` for a number outside
    its width; ``from_bytes`` raises ``ParseError`` unless there are exactly 80 bytes.
    """

    version: int
    previous_hash: str
    merkle_root: str
    time: int
    bits: int
    nonce: int

    def __post_init__(self) -> None:
        for name in ("previous_hash", "merkle_root"):
            text = getattr(self, name)
            object.__setattr__(self, name, from_display(text, name.replace("_", " "))[::-1].hex())
        if not -0x8000_0000 <= self.version <= 0x7FFF_FFFF:
            raise ValueError(f"version must be a signed 32-bit number, is {self.version}")
        for name in ("time", "bits", "nonce"):
            if not 0 <= getattr(self, name) <= 0xFFFF_FFFF:
                raise ValueError(f"{name} must have 32 bits, is {getattr(self, name)}")

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        data = as_bytes(data)
        if len(data) != HEADER_SIZE:
            raise ParseError("block header", f"must be 80 bytes, is {len(data)}", min(len(data), HEADER_SIZE))
        version, previous, root, time, bits, nonce = _LAYOUT.unpack(data)
        return cls(version, to_display(previous), to_display(root), time, bits, nonce)

    def to_bytes(self) -> bytes:
        previous, root = bytes.fromhex(self.previous_hash)[::-1], bytes.fromhex(self.merkle_root)[::-1]
        return _LAYOUT.pack(self.version, previous, root, self.time, self.bits, self.nonce)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, "block header"))

    def to_hex(self) -> str:
        return self.to_bytes().hex()

    def hash(self) -> str:
        """Block hash as display hex."""
        return to_display(hash256(self.to_bytes()))

    def target(self) -> int | None:
        """The number the hash must not exceed; ``None`` if ``bits`` names none (negative, overflow or zero)."""
        return decode_target(self.bits)

    def work(self) -> int:
        """Expected hashes to find such a header; 0 if ``bits`` is invalid."""
        return work_of_bits(self.bits)

    def meets_target(self, pow_limit: int = _ALL_ONES) -> bool:
        """Whether the hash proves the work ``bits`` claims, and the target lies within ``pow_limit``."""
        target = decode_target(self.bits)
        if target is None or target > pow_limit:
            return False
        return int.from_bytes(hash256(self.to_bytes()), "little") <= target


def decode_compact(bits: int) -> tuple[int, bool, bool]:
    """Value, negative flag and overflow flag of a compact number, as the node computes them (§2.1)."""
    size, word = bits >> 24, bits & 0x007F_FFFF
    if size <= 3:
        word >>= 8 * (3 - size)
        value = word
    else:
        value = (word << 8 * (size - 3)) & _ALL_ONES
    negative = word != 0 and bits & 0x0080_0000 != 0
    overflow = word != 0 and (size > 34 or (word > 0xFF and size > 33) or (word > 0xFFFF and size > 32))
    return value, negative, overflow


def decode_target(bits: int) -> int | None:
    """The target that ``bits`` stands for, or ``None`` if it is negative, overflows or is zero."""
    value, negative, overflow = decode_compact(bits)
    return None if negative or overflow or value == 0 else value


def encode_compact(value: int) -> int:
    """The compact form of a target below 2^256; low bytes are cut off, never rounded."""
    if not 0 <= value <= _ALL_ONES:
        raise ValueError("a target has at most 256 bits and is not negative")
    size = (value.bit_length() + 7) // 8
    mantissa = value << 8 * (3 - size) if size <= 3 else value >> 8 * (size - 3)
    if mantissa & 0x0080_0000:
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def work_of_bits(bits: int) -> int:
    """2^256 / (target + 1), rounded down; 0 for invalid ``bits`` (§2.2)."""
    target = decode_target(bits)
    return 0 if target is None else (1 << 256) // (target + 1)
