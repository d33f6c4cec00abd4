"""The pipes of a module's process: input that is bounded, output that can be left unread for a while."""

from __future__ import annotations

import asyncio
import os
from typing import IO, TYPE_CHECKING, Final, Protocol, Self

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.protocol.lines import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_QUEUED: Final = 2 * MAX_LINE
"""Bytes that wait for a module to read them; beyond that it is not listening."""
_CHUNK: Final = 65_536
_LAST_WORDS: Final = 1 << 20


class Sink(Protocol):
    """Takes the bytes of a stream."""

    def feed(self, data: bytes) -> None: ...

    def finish(self) -> None: ...


class OutputPipe:
    """What a process writes, handed to ``sink`` as it comes."""

    def __init__(self, pipe: IO[bytes], sink: Sink) -> None:
        self._pipe, self._sink = pipe, sink
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._ended = False
        os.set_blocking(pipe.fileno(), False)
        self.resume()

    def pause(self) -> None:
        """Leave what comes in the pipe; once that is full, whoever writes there waits."""
        if self._reading:
            self._loop.remove_reader(self._pipe.fileno())
            self._reading = False

    def resume(self) -> None:
        if not self._reading and not self._ended:
            self._loop.add_reader(self._pipe.fileno(), self._read)
            self._reading = True

    def close(self) -> None:
        """The process is gone: hear its last words, and no more even if somebody else still holds the other end."""
        for _ in range(_LAST_WORDS // _CHUNK):
            if not self._read():
                break
        self.pause()
        self._ended = True
        self._sink.finish()
        self._pipe.close()

    def _read(self) -> bool:
        """Take what is there; False when there is nothing (more)."""
        try:
            data = os.read(self._pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.pause()
            self._ended = True
            return False
        self._sink.feed(data)
        return True


class InputPipe(asyncio.BaseProtocol):
    """What a process reads. ``blocked_for`` tells how long it has not taken anything."""

    def __init__(self, clock: Callable[[], float], most_queued: int) -> None:
        self._clock, self._most = clock, most_queued
        self._transport: asyncio.WriteTransport | None = None
        self._blocked_since: float | None = None

    @classmethod
    async def open(cls, pipe: IO[bytes], clock: Callable[[], float], most_queued: int = MOST_QUEUED) -> Self:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(lambda: cls(clock, most_queued), pipe)
        transport.set_write_buffer_limits(high=_CHUNK)
        protocol._transport = transport
        return protocol

    def write(self, data: bytes) -> None:
        """Queue ``data``. ``LinkClosed`` if the process does not read any more, or has left too much unread."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise LinkClosed("the module's input is closed")
        if transport.get_write_buffer_size() + len(data) > self._most:
            raise LinkClosed("the module does not read what it is sent")
        transport.write(data)

    def blocked_for(self) -> float:
        """Seconds since the process took anything while something waited for it; 0 if nothing waits."""
        return 0.0 if self._blocked_since is None else self._clock() - self._blocked_since

    def close(self) -> None:
        """The end of the input, after which the process reads end-of-file. What is queued is dropped."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def pause_writing(self) -> None:
        self._blocked_since = self._clock()

    def resume_writing(self) -> None:
        self._blocked_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._blocked_since = None
