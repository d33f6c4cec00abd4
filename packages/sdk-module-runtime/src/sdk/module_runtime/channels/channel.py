"""One framed stream, read and written at the same time. Neither direction waits for the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.channels.metrics import Traffic
from sdk.module_runtime.errors import NotSent, ProtocolError
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.frame import DEFAULT_MAX_PAYLOAD, Frame, FrameDecoder, encode_frame
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

_log = get_logger(__name__)

MOST_QUEUED: Final = 2 * DEFAULT_MAX_PAYLOAD
"""Bytes that wait to be sent; a peer that leaves more unread is not listening."""


BURST: Final = 0.0001
"""Seconds between frames, below which those of one turn of the loop are written together: each write is a system call.
A frame that comes alone does not wait for the end of its turn."""
WRITE_AT_ONCE: Final = 1 << 16
"""Bytes; more is not held back until the end of the turn."""


class Channel(asyncio.Protocol):
    """Hands each frame to ``take`` as it comes. A stream that is no frames, or is cut within one, is closed."""

    def __init__(
        self,
        take: Callable[[Frame], None],
        *,
        label: str = "tcp",
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        message_pack: bool = False,
        most_queued: int = MOST_QUEUED,
        traffic: Traffic | None = None,
    ) -> None:
        self.label = label
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the stream has ended, once it has."""
        self.opened: Callable[[], None] | None = None
        """Called once the stream is there, with TLS after the handshake."""
        self._take, self._most_queued = take, most_queued
        self.traffic = traffic or Traffic()
        """What counts what goes both ways; it may be another from now on."""
        self._decoder = FrameDecoder(max_payload=max_payload, message_pack=message_pack)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._sent_at = 0.0
        self._unwritten: list[bytes] = []
        self._unwritten_size = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._reason: str | None = None

    # --- for who uses it ---

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def allow(self, max_payload: int = DEFAULT_MAX_PAYLOAD) -> None:
        """Take larger frames from now on, because the peer has shown who it is."""
        self._decoder.max_payload = max_payload

    def send(self, payload: bytes, format_: Format = Format.JSON) -> None:
        """Queue one frame. ``NotSent`` if the stream has ended, or if the peer leaves too much unread."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise NotSent(f"the {self.label} channel is closed")
        if transport.get_write_buffer_size() + self._unwritten_size + len(payload) > self._most_queued:
            raise NotSent(f"the peer does not read what it is sent over {self.label}")
        frame = encode_frame(Frame(format_, payload))
        self.traffic.sent += 1
        self.traffic.bytes_sent += len(frame)
        now = self._loop.time()
        burst, self._sent_at = now - self._sent_at < BURST, now
        if not self._unwritten:
            if not burst:
                transport.write(frame)
                return
            self._loop.call_soon(self._write)
        self._unwritten.append(frame)
        self._unwritten_size += len(payload)
        if self._unwritten_size > WRITE_AT_ONCE:
            self._write()

    async def drain(self) -> None:
        """Wait while more is queued than the peer reads."""
        await self._writable.wait()

    @property
    def is_writable(self) -> bool:
        """Whether ``drain`` would not wait."""
        return self._writable.is_set()

    @property
    def is_within_frame(self) -> bool:
        """Whether a part of a frame has come whose rest has not."""
        return self._decoder.is_within_frame

    def hold(self, held: bool) -> None:
        """Stop reading, or go on. What the peer sends meanwhile waits on its side."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    def close(self, reason: str = "closed here") -> None:
        """What is queued is still sent."""
        self._reason = self._reason or reason
        if self._transport is None:
            self._ended()
        else:
            self._write()
            self._transport.close()

    def abort(self, reason: str) -> None:
        """At once; what is queued is lost."""
        self._reason = self._reason or reason
        if self._transport is None:
            self._ended()
        else:
            self._transport.abort()

    # --- for the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.opened is not None:
            self.opened()

    def data_received(self, data: bytes) -> None:
        self.traffic.bytes_received += len(data)
        try:
            only = self._decoder.whole(data)
            if only is not None:
                self.traffic.received += 1
                self._take(only)
                return
            self._decoder.feed(data)
            for frame in self._decoder.frames():
                self.traffic.received += 1
                self._take(frame)
        except ProtocolError as error:
            _log.warning("channel_out_of_step", channel=self.label, reason=str(error))
            self.abort(str(error))

    def eof_received(self) -> bool:
        try:
            self._decoder.finish()
        except ProtocolError as error:
            self._reason = self._reason or str(error)
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        self._reason = self._reason or (str(exc) if exc else "the peer has closed it")
        self._ended()

    def _write(self) -> None:
        """What this turn of the loop has queued goes out at once, for each write costs a call of the system."""
        if self._unwritten and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._unwritten))
        self._unwritten.clear()
        self._unwritten_size = 0

    def _ended(self) -> None:
        if not self.closed.done():
            self.closed.set_result(self._reason or "closed here")
