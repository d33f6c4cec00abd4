"""The protocol's lines on the pipes a module was started with, kept apart from what the program itself prints."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, Final

from sdk.module_runtime.errors import LinkClosed, NotSent, ProtocolError
from sdk.module_runtime.protocol.init import MAX_INIT_LINE, decode_init_line
from sdk.module_runtime.protocol.lines import MAX_LINE, LineDecoder
from sdk.module_runtime.protocol.messages import ORCHESTRATOR_TO_MODULE
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.protocol.init import InitBlob
    from sdk.module_runtime.protocol.messages import ModuleToOrchestrator, OrchestratorToModule

_log = get_logger(__name__)
_CHUNK: Final = 1 << 16
MOST_WAITING: Final = 1024
"""Messages to be written, beyond which nothing more is read."""


def take_over() -> tuple[BinaryIO, BinaryIO]:
    """The pipes of the protocol. From now on ``print``, and programs started from here, write to stderr and read
    nothing, so that nobody else's bytes come between the lines."""
    sys.stdout.flush()
    lines_in = os.fdopen(os.dup(0), "rb", buffering=0)
    lines_out = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is a line of the log when it is printed
    return lines_in, lines_out


class Stdio:
    """One reader of the orchestrator's lines, and one writer of ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = LineDecoder(MAX_LINE)
        self._ahead: list[bytes] = []
        self._turn = asyncio.Lock()
        self._waiting = 0

    @classmethod
    async def open(cls, lines_in: BinaryIO, lines_out: BinaryIO) -> Stdio:
        """Raises ``ProtocolError`` if these are no pipes, as when a person starts the program from a shell."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), lines_in)
            transport, protocol = await loop.connect_write_pipe(
                lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), lines_out
            )
        except ValueError:
            raise ProtocolError("stdin or stdout", "no pipe: an orchestrator starts a module") from None
        return cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))

    async def read_init(self) -> InitBlob:
        """The first line. Raises ``LinkClosed`` if there is none, ``ProtocolError`` if it is no InitBlob."""
        held = b""
        while b"\n" not in held and len(held) <= MAX_INIT_LINE:
            data = await self._reader.read(_CHUNK)
            if not data:
                raise LinkClosed("stdin ended before the first line was whole")
            held += data
        line, _, rest = held.partition(b"\n")
        self._ahead = self._decoder.feed(rest)
        return decode_init_line(line)

    async def receive(self, take: Callable[[OrchestratorToModule], None]) -> None:
        """Hand each message to ``take`` until stdin ends. A line that is no message is logged without its text.

        An orchestrator that leaves our lines unread is not read either, for its lines may ask for more of them.
        """
        lines = self._ahead
        while True:
            for line in lines:
                self._decode(line, take)
            if self._waiting > MOST_WAITING:
                async with self._turn:  # after all that wait now
                    pass
            data = await self._reader.read(_CHUNK)
            if not data:
                return
            too_long = self._decoder.too_long
            lines = self._decoder.feed(data)
            if self._decoder.too_long > too_long:
                _log.warning("line_skipped", reason=f"longer than {MAX_LINE} bytes")

    async def send(self, message: ModuleToOrchestrator) -> None:
        """Write one line; waits while the orchestrator does not read. Raises ``LinkClosed``, ``NotSent``."""
        line = message.to_json() + b"\n"
        self._waiting += 1
        try:
            async with self._turn:
                if self._writer.is_closing():
                    raise NotSent("the orchestrator has closed its end of stdout")
                self._writer.write(line)
                await self._writer.drain()
        except ConnectionError as error:
            raise LinkClosed("the orchestrator has closed its end of stdout") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """What was written is still flushed, as long as the loop runs."""
        self._writer.close()

    @staticmethod
    def _decode(line: bytes, take: Callable[[OrchestratorToModule], None]) -> None:
        try:
            message = ORCHESTRATOR_TO_MODULE.from_json(line)
        except ProtocolError as error:
            _log.warning("line_skipped", reason=str(error))
            return
        take(message)
