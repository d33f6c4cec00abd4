"""bincode 2, ``standard()`` configuration: the encoding Rust calls Binary.

Little endian; unsigned integers below 251 in one byte, else fb/fc/fd and 2/4/8 bytes; signed ones zigzag first; options
one tag byte; text and lists a length first. Source: bincode's specification.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.envelope import MessageMetadata
from sdk.module_runtime.protocol.json_text import parse_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_U64_END = 1 << 64


def write_unsigned(number: int) -> bytes:
    if not 0 <= number < _U64_END:
        raise ProtocolError("bincode integer", f"{number} does not fit 64 bits")
    if number < 251:
        return bytes((number,))
    if number < 1 << 16:
        return b"\xfb" + number.to_bytes(2, "little")
    if number < 1 << 32:
        return b"\xfc" + number.to_bytes(4, "little")
    return b"\xfd" + number.to_bytes(8, "little")


def write_signed(number: int) -> bytes:
    return write_unsigned(number << 1 if number >= 0 else (~number << 1) | 1)


def write_float(number: float) -> bytes:
    return struct.pack("<d", number)


def write_bytes(data: bytes) -> bytes:
    return write_unsigned(len(data)) + data


def write_text(text: str) -> bytes:
    return write_bytes(text.encode())


def write_option(value: T | None, write: Callable[[T], bytes]) -> bytes:
    return b"\x00" if value is None else b"\x01" + write(value)


def write_message(content: bytes, metadata: MessageMetadata) -> bytes:
    """A whole ``Message``: content, then metadata. Its id is not part of the encoding."""
    properties = "" if metadata.properties is None else write_json(metadata.properties, "properties").decode()
    return b"".join(
        (
            content,
            write_option(metadata.id, write_text),
            write_option(metadata.timestamp, write_signed),
            write_option(metadata.source, write_text),
            write_option(metadata.destination, write_text),
            write_text(properties),
        )
    )


class Reader:
    """Reads values from the front of ``data``; lengths are checked against what is there before anything is copied."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise ProtocolError("bincode", f"ended at byte {len(self._data)}, {count} bytes were due at {self._at}")
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def unsigned(self) -> int:
        first = self.take(1)[0]
        if first < 251:
            return first
        if first > 253:
            raise ProtocolError("bincode integer", f"marker {first:#x} at byte {self._at - 1} is none of 64 bits")
        return int.from_bytes(self.take(2 << (first - 251)), "little")

    def signed(self) -> int:
        number = self.unsigned()
        return ~(number >> 1) if number & 1 else number >> 1

    def float(self) -> float:
        return float(struct.unpack("<d", self.take(8))[0])

    def bytes(self) -> bytes:
        return self.take(self.unsigned())

    def text(self) -> str:
        try:
            return self.bytes().decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("bincode text", f"not UTF-8: {error.reason}") from None

    def option(self, read: Callable[[], T]) -> T | None:
        tag = self.take(1)[0]
        if tag > 1:
            raise ProtocolError("bincode option", f"tag {tag} at byte {self._at - 1}, expected 0 or 1")
        return read() if tag else None

    def metadata(self) -> MessageMetadata:
        """The mirror of ``write_message``, which Rust's own reader is not."""
        id_, timestamp = self.option(self.text), self.option(self.signed)
        source, destination, properties = self.option(self.text), self.option(self.text), self.text()
        value = parse_json(properties.encode(), "properties") if properties else None
        if value is not None and not isinstance(value, dict):
            raise ProtocolError("properties", "not an object")
        return MessageMetadata(id=id_, timestamp=timestamp, source=source, destination=destination, properties=value)

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ProtocolError("bincode", f"{len(self._data) - self._at} bytes left over after byte {self._at}")
