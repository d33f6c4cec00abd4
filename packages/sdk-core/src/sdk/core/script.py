"""Script bytes: parsing into chunks, assembly text, and the pushes that scripts are built from.

A script is any byte string; whether it can be parsed or run is asked of it later, as in the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from sdk.core import opcodes as op
from sdk.core.encodings import as_bytes, bytes_from_hex
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk.core.encodings import Buffer


class ScriptChunk(NamedTuple):
    """One instruction: ``data`` is what a push pushes (``b""`` for OP_0), ``None`` for every other opcode."""

    opcode: int
    data: bytes | None
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Script:
    """An immutable script."""

    data: bytes = b""

    def __post_init__(self) -> None:
        if type(self.data) is not bytes:
            object.__setattr__(self, "data", bytes(self.data))

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        return cls(as_bytes(data))

    def to_bytes(self) -> bytes:
        return self.data

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls(bytes_from_hex(text, "script"))

    def to_hex(self) -> str:
        return self.data.hex()

    @classmethod
    def from_asm(cls, text: str) -> Self:
        """From opcode names and hex pushes, parted by blanks; ``0`` and ``-1`` are numbers, other words are hex.

        ``OP_PUSHDATA1 <length> <hex>`` (also 2 and 4) keeps a push in that form. Raises ``ParseError`` with the
        offset of the word.
        """
        return cls(_assemble(text))

    def to_asm(self) -> str:
        """Inverse of ``from_asm``; a push that runs past the end reads ``[error]``, as the node prints it."""
        words: list[str] = []
        try:
            words.extend(_chunk_to_asm(chunk) for chunk in self)
        except ParseError:
            words = [_chunk_to_asm(chunk) for chunk in self.parsable_prefix()]
            words.append("[error]")
        return " ".join(words)

    def __iter__(self) -> Iterator[ScriptChunk]:
        """Instructions in order; raises ``ParseError`` at a push that runs past the end."""
        data = self.data
        size = len(data)
        offset = 0
        while offset < size:
            opcode = data[offset]
            if opcode > op.OP_PUSHDATA4:
                yield ScriptChunk(opcode, None, offset, offset + 1)
                offset += 1
                continue
            start, end = _push_bounds(data, offset, opcode)
            if end > size:
                raise ParseError("script", f"a push of {end - start} bytes runs past the end", offset)
            yield ScriptChunk(opcode, data[start:end], offset, end)
            offset = end

    def chunks(self) -> tuple[ScriptChunk, ...]:
        """All instructions. Raises ``ParseError`` at a push that runs past the end."""
        return tuple(self)

    def parsable_prefix(self) -> tuple[ScriptChunk, ...]:
        """The instructions before the first push that runs past the end."""
        found: list[ScriptChunk] = []
        try:
            for chunk in self:
                found.append(chunk)
        except ParseError:
            pass
        return tuple(found)

    def is_push_only(self) -> bool:
        """Whether every instruction pushes (opcodes up to OP_16) and none is cut short."""
        try:
            return all(chunk.opcode <= op.OP_16 for chunk in self)
        except ParseError:
            return False

    def is_data(self) -> bool:
        """``OP_FALSE OP_RETURN …``: provably unspendable, so it may hold 0 satoshis."""
        return self.data.startswith(b"\x00\x6a")

    def is_p2pkh(self) -> bool:
        data = self.data
        return len(data) == 25 and data.startswith(b"\x76\xa9\x14") and data.endswith(b"\x88\xac")

    def is_p2sh(self) -> bool:
        data = self.data
        return len(data) == 23 and data.startswith(b"\xa9\x14") and data.endswith(b"\x87")

    def __len__(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return self.data

    def __add__(self, other: Script) -> Script:
        return Script(self.data + other.data)

    def __repr__(self) -> str:
        shown = self.data[:64].hex() + ("…" if len(self.data) > 64 else "")
        return f"Script({shown})"


def push(data: bytes) -> bytes:
    """The script that pushes ``data`` by its length alone: OP_0 for nothing, then direct, PUSHDATA1, 2 or 4."""
    size = len(data)
    if size < op.OP_PUSHDATA1:
        return bytes((size,)) + data
    if size < 0x100:
        return bytes((op.OP_PUSHDATA1, size)) + data
    if size < 0x1_0000:
        return bytes((op.OP_PUSHDATA2,)) + size.to_bytes(2, "little") + data
    if size < 0x1_0000_0000:
        return bytes((op.OP_PUSHDATA4,)) + size.to_bytes(4, "little") + data
    raise ValueError(f"a push holds less than 2^32 bytes, not {size}")


def push_minimal(data: bytes) -> bytes:
    """The shortest script that pushes ``data``, with OP_1 … OP_16 and OP_1NEGATE (what MINIMALDATA demands)."""
    if len(data) == 1:
        if 1 <= data[0] <= 16:
            return bytes((op.OP_1 - 1 + data[0],))
        if data[0] == 0x81:
            return bytes((op.OP_1NEGATE,))
    return push(data)


def push_number(value: int) -> bytes:
    """The shortest script that pushes the number."""
    return push_minimal(encode_number(value))


def encode_number(value: int) -> bytes:
    """A script number: little-endian, sign in the top bit of the last byte, empty for zero."""
    if value == 0:
        return b""
    magnitude = abs(value)
    encoded = magnitude.to_bytes(magnitude.bit_length() // 8 + 1, "little")
    return encoded[:-1] + bytes((encoded[-1] | 0x80,)) if value < 0 else encoded


def decode_number(data: bytes) -> int:
    """The value of a script number of any length; padding and negative zero are accepted."""
    if not data:
        return 0
    magnitude = int.from_bytes(data, "little")
    sign = 1 << (8 * len(data) - 1)
    return -(magnitude ^ sign) if magnitude & sign else magnitude


def _push_bounds(data: bytes, offset: int, opcode: int) -> tuple[int, int]:
    """Where the pushed bytes begin and end; the end may lie outside."""
    if opcode < op.OP_PUSHDATA1:
        return offset + 1, offset + 1 + opcode
    start = offset + 1 + (1 << (opcode - op.OP_PUSHDATA1))
    if start > len(data):
        raise ParseError("script", f"ends inside the length of {op.NAMES[opcode]}", offset)
    return start, start + int.from_bytes(data[offset + 1 : start], "little")


def _chunk_to_asm(chunk: ScriptChunk) -> str:
    opcode, data = chunk.opcode, chunk.data
    if not data and opcode == op.OP_0:
        return "OP_0"
    if data is None:
        return op.NAMES.get(opcode, f"OP_UNKNOWN_{opcode:02x}")
    if opcode >= op.OP_PUSHDATA1:
        return f"{op.NAMES[opcode]} {len(data)} {data.hex()}".rstrip()
    return data.hex()


def _assemble(text: str) -> bytes:
    parts: list[bytes] = []
    words = list(_words(text))
    position = 0
    while position < len(words):
        word, offset = words[position]
        position += 1
        if word in _PUSHDATA_WIDTH:
            part, position = _assemble_pushdata(words, position, word, offset)
            parts.append(part)
        else:
            parts.append(_assemble_word(word, offset))
    return b"".join(parts)


_PUSHDATA_WIDTH = {"OP_PUSHDATA1": 1, "OP_PUSHDATA2": 2, "OP_PUSHDATA4": 4}


def _words(text: str) -> Iterator[tuple[str, int]]:
    offset = 0
    for word in text.split():
        offset = text.index(word, offset)
        yield word, offset
        offset += len(word)


def _assemble_word(word: str, offset: int) -> bytes:
    if word == "0":
        return bytes((op.OP_0,))
    if word == "-1":
        return bytes((op.OP_1NEGATE,))
    if word in op.NUMBERS:
        return bytes((op.NUMBERS[word],))
    if word.startswith("OP_UNKNOWN_") and len(word) == 13:
        word_bytes = bytes_from_hex(word[11:], "script assembly")
        if word_bytes[0] > op.OP_PUSHDATA4 and word_bytes[0] not in op.NAMES:
            return word_bytes
    if word.startswith("OP_"):
        raise ParseError("script assembly", f"{word} is no opcode", offset)
    try:
        return push(bytes_from_hex(word, "script assembly"))
    except ParseError as exc:
        raise ParseError("script assembly", exc.reason, offset + (exc.offset or 0)) from None


def _assemble_pushdata(words: list[tuple[str, int]], position: int, name: str, offset: int) -> tuple[bytes, int]:
    if position >= len(words) or not words[position][0].isdecimal():
        raise ParseError("script assembly", f"{name} needs a length and its bytes in hex", offset)
    size = int(words[position][0])
    width = _PUSHDATA_WIDTH[name]
    position += 1
    data = b""
    if size:
        if position >= len(words):
            raise ParseError("script assembly", f"{name} needs a length and its bytes in hex", offset)
        data = bytes_from_hex(words[position][0], "script assembly")
        position += 1
    if len(data) != size or size >= 1 << (8 * width):
        raise ParseError("script assembly", f"{name} {size} is followed by {len(data)} bytes", offset)
    return bytes((op.NUMBERS[name],)) + size.to_bytes(width, "little") + data, position
