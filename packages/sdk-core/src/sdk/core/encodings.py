"""What every codec shares: compact integers, bounds-checked reads, hashes and their display form.

Compact integers are read as the node reads them: the shortest form is the only one (spec/consensus.md §5.1, the node's
``ReadCompactSize``). That makes each codec here one to one: what parses, serialises to the same bytes.
"""

from __future__ import annotations

from binascii import unhexlify
from hashlib import sha256
from typing import TypeAlias

from sdk.core.errors import ParseError

Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_SATOSHIS = 21_000_000 * 100_000_000
ZERO_HASH = bytes(32)

_WIDTHS = {0xFD: (2, 0xFD), 0xFE: (4, 0x1_0000), 0xFF: (8, 0x1_0000_0000)}  # marker: bytes that follow, least value


def hash256(data: Buffer) -> bytes:
    """SHA-256 of SHA-256, in wire order."""
    return sha256(sha256(data).digest()).digest()


def to_display(digest: bytes) -> str:
    """Wire-order hash to the hex people read (bytes reversed)."""
    return digest[::-1].hex()


def from_display(text: str, what: str = "hash") -> bytes:
    """Display hex (64 characters) to a wire-order hash. Raises ``ParseError``."""
    if len(text) != 64:
        raise ParseError(what, f"must be 64 hex characters, is {len(text)} long")
    return bytes_from_hex(text, what)[::-1]


def bytes_from_hex(text: str, what: str) -> bytes:
    """Hex without blanks or prefix. Raises ``ParseError`` with the character's offset."""
    try:
        return unhexlify(text)
    except ValueError:
        bad = next((i for i, c in enumerate(text) if c not in "0123456789abcdefABCDEF"), None)
        reason = "odd number of hex characters" if bad is None else f"{text[bad]!r} is not a hex character"
        raise ParseError(what, reason, len(text) if bad is None else bad) from None


def as_bytes(data: Buffer) -> bytes:
    return data if type(data) is bytes else bytes(data)


def read_varint(data: bytes, offset: int, what: str) -> tuple[int, int]:
    """A compact integer at ``offset`` and the offset behind it. Raises ``ParseError``."""
    if offset >= len(data):
        raise ParseError(what, "ends inside a compact integer", offset)
    first = data[offset]
    if first < 0xFD:
        return first, offset + 1
    width, least = _WIDTHS[first]
    end = offset + 1 + width
    if end > len(data):
        raise ParseError(what, "ends inside a compact integer", offset)
    value = int.from_bytes(data[offset + 1 : end], "little")
    if value < least:
        raise ParseError(what, f"compact integer {value} is not in its shortest form", offset)
    return value, end


def varint(value: int) -> bytes:
    """The shortest compact integer of 0 … 2^64-1. Raises ``ValueError`` outside that range."""
    if value < 0xFD:
        if value < 0:
            raise ValueError(f"a compact integer cannot be negative: {value}")
        return value.to_bytes(1, "little")
    if value < 0x1_0000:
        return b"\xfd" + value.to_bytes(2, "little")
    if value < 0x1_0000_0000:
        return b"\xfe" + value.to_bytes(4, "little")
    if value < 0x1_0000_0000_0000_0000:
        return b"\xff" + value.to_bytes(8, "little")
    raise ValueError(f"a compact integer has at most 64 bits: {value}")


def varint_size(value: int) -> int:
    """Bytes that ``varint(value)`` takes."""
    if value < 0xFD:
        return 1
    if value < 0x1_0000:
        return 3
    return 5 if value < 0x1_0000_0000 else 9


class Reader:
    """Bounds-checked reads over one buffer; every failure is a ``ParseError`` with the offset of the read.

    ``what`` names the format in those errors.
    """

    __slots__ = ("data", "end", "offset", "what")

    def __init__(self, data: Buffer, what: str, offset: int = 0, end: int | None = None) -> None:
        self.data = as_bytes(data)
        self.what = what
        self.offset = offset
        self.end = len(self.data) if end is None else end

    def remaining(self) -> int:
        return self.end - self.offset

    def fail(self, reason: str, offset: int | None = None) -> ParseError:
        """The error to raise; at the present position unless told otherwise."""
        return ParseError(self.what, reason, self.offset if offset is None else offset)

    def read(self, size: int, name: str = "field") -> bytes:
        end = self.offset + size
        if size < 0 or end > self.end:
            raise self.fail(f"{name} takes {size} bytes, {self.remaining()} are left")
        part = self.data[self.offset : end]
        self.offset = end
        return part

    def unsigned(self, size: int, name: str = "integer") -> int:
        return int.from_bytes(self.read(size, name), "little")

    def signed(self, size: int, name: str = "integer") -> int:
        return int.from_bytes(self.read(size, name), "little", signed=True)

    def u8(self, name: str = "byte") -> int:
        return self.read(1, name)[0]

    def varint(self, name: str = "compact integer") -> int:
        value, offset = read_varint(self.data, self.offset, self.what)
        if offset > self.end:
            raise self.fail(f"ends inside {name}")
        self.offset = offset
        return value

    def count(self, least: int, name: str = "count") -> int:
        """A compact integer that counts items of at least ``least`` bytes each: refused if they cannot fit."""
        start = self.offset
        value = self.varint(name)
        if value * least > self.remaining():
            raise self.fail(f"{value} {name} cannot fit in the {self.remaining()} bytes left", start)
        return value

    def sized(self, name: str = "bytes") -> bytes:
        """A compact length and that many bytes."""
        return self.read(self.varint(f"length of {name}"), name)

    def finish(self) -> None:
        """Refuse trailing bytes."""
        if self.offset != self.end:
            raise self.fail(f"{self.remaining()} trailing bytes")
