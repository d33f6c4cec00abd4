"""Frames: u32 big-endian payload length, u8 format code, payload. The length is bounded before it is believed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.formats import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">IB")
DEFAULT_MAX_PAYLOAD = 64 * 1024 * 1024
"""Bytes; what the Rust capabilities name for TCP."""
_FORMATS: Final = tuple(Format)
_AUTO, _MESSAGE_PACK = int(Format.AUTO), int(Format.MESSAGE_PACK)


class Frame(NamedTuple):
    format: Format
    payload: bytes


def encode_frame(frame: Frame) -> bytes:
    format_, payload = frame
    if format_ == _AUTO:
        raise ProtocolError("frame", "unsupported encoding format: auto")
    if len(payload) > 0xFFFF_FFFF:
        raise ProtocolError("frame", f"payload of {len(payload)} bytes does not fit a 32-bit length")
    return HEADER.pack(len(payload), format_) + payload


def _judged(length: int, code: int, max_payload: int, message_pack: bool) -> Format:
    """After a ``ProtocolError`` the stream is out of step and must be closed."""
    if code == _AUTO:
        raise ProtocolError("frame", "unsupported encoding format: auto")
    if code > _MESSAGE_PACK or (code == _MESSAGE_PACK and not message_pack):
        raise ProtocolError("frame", f"invalid format code {code}")
    if length > max_payload:
        raise ProtocolError("frame", f"payload of {length} bytes is over the limit of {max_payload}")
    return _FORMATS[code]


class FrameDecoder:
    """Cuts a stream into frames, however its bytes arrive.

    >>> decoder = FrameDecoder()
    >>> decoder.feed(encode_frame(Frame(Format.JSON, b"{}")))
    >>> list(decoder.frames())
    [Frame(format=<Format.JSON: 1>, payload=b'{}')]
    """

    def __init__(self, *, max_payload: int = DEFAULT_MAX_PAYLOAD, message_pack: bool = False) -> None:
        self.max_payload, self._message_pack = max_payload, message_pack
        self._buffer: bytes | bytearray = b""

    @property
    def is_within_frame(self) -> bool:
        return bool(self._buffer)

    def whole(self, data: bytes) -> Frame | None:
        """The frame that ``data`` is, if it is one and nothing was fed before; then it has not to be fed itself.

        ``ProtocolError`` for a header that cannot be.
        """
        if self._buffer or len(data) < HEADER.size:
            return None
        length, code = HEADER.unpack_from(data)
        if HEADER.size + length != len(data):
            return None
        return Frame(_judged(length, code, self.max_payload, self._message_pack), data[HEADER.size :])

    def feed(self, data: bytes) -> None:
        """All that was whole before has to be taken."""
        if not self._buffer:
            self._buffer = data  # most of what is read is whole frames, which need no copy
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer) + data

    def frames(self) -> Iterator[Frame]:
        """All frames that are whole; raises ``ProtocolError`` at the first header that cannot be."""
        buffer, start, size = self._buffer, 0, len(self._buffer)
        try:
            while size - start >= HEADER.size:
                length, code = HEADER.unpack_from(buffer, start)
                format_ = _judged(length, code, self.max_payload, self._message_pack)
                end = start + HEADER.size + length
                if size < end:
                    return
                payload = bytes(buffer[start + HEADER.size : end])
                start = end
                yield Frame(format_, payload)
        finally:
            if start:
                self._buffer = buffer[start:]

    def finish(self) -> None:
        """The stream has ended: raises ``ProtocolError`` if it ended within a frame."""
        if self._buffer:
            raise ProtocolError("frame", f"stream ended after {len(self._buffer)} bytes of an unfinished frame")
