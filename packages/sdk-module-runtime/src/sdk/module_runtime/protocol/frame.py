"""Frames: u32 big-endian payload length, u8 format code, payload. The length is bounded before it is believed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.formats import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">IB")
DEFAULT_MAX_PAYLOAD = 64 * 1024 * 1024
"""Bytes; what the Rust capabilities name for TCP."""


class Frame(NamedTuple):
    format: Format
    payload: bytes


def encode_frame(frame: Frame) -> bytes:
    if frame.format == Format.AUTO:
        raise ProtocolError("frame", "unsupported encoding format: auto")
    if len(frame.payload) > 0xFFFF_FFFF:
        raise ProtocolError("frame", f"payload of {len(frame.payload)} bytes does not fit a 32-bit length")
    return HEADER.pack(len(frame.payload), frame.format) + frame.payload


def decode_header(
    header: bytes, *, max_payload: int = DEFAULT_MAX_PAYLOAD, message_pack: bool = False
) -> tuple[int, Format]:
    """Payload length and format. After a ``ProtocolError`` the stream is out of step and must be closed."""
    length, code = HEADER.unpack(header)
    if code == Format.AUTO:
        raise ProtocolError("frame", "unsupported encoding format: auto")
    if code > Format.MESSAGE_PACK or (code == Format.MESSAGE_PACK and not message_pack):
        raise ProtocolError("frame", f"invalid format code {code}")
    if length > max_payload:
        raise ProtocolError("frame", f"payload of {length} bytes is over the limit of {max_payload}")
    return length, Format(code)


class FrameDecoder:
    """Cuts a stream into frames, however its bytes arrive.

    >>> decoder = FrameDecoder()
    >>> decoder.feed(encode_frame(Frame(Format.JSON, b"{}")))
    >>> list(decoder.frames())
    [Frame(format=<Format.JSON: 1>, payload=b'{}')]
    """

    def __init__(self, *, max_payload: int = DEFAULT_MAX_PAYLOAD, message_pack: bool = False) -> None:
        self.max_payload, self._message_pack = max_payload, message_pack
        self._buffer = bytearray()

    @property
    def is_within_frame(self) -> bool:
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def frames(self) -> Iterator[Frame]:
        """All frames that are whole; raises ``ProtocolError`` at the first header that cannot be."""
        start = 0
        try:
            while len(self._buffer) - start >= HEADER.size:
                header = bytes(self._buffer[start : start + HEADER.size])
                length, format_ = decode_header(header, max_payload=self.max_payload, message_pack=self._message_pack)
                end = start + HEADER.size + length
                if len(self._buffer) < end:
                    return
                payload = bytes(self._buffer[start + HEADER.size : end])
                start = end
                yield Frame(format_, payload)
        finally:
            del self._buffer[:start]

    def finish(self) -> None:
        """The stream has ended: raises ``ProtocolError`` if it ended within a frame."""
        if self._buffer:
            raise ProtocolError("frame", f"stream ended after {len(self._buffer)} bytes of an unfinished frame")
