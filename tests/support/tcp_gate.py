"""A door on a TCP connection to a real server, to be closed and opened again."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    class PassOn(Protocol):
        async def __call__(self, data: bytes, *, is_answer: bool) -> bool: ...


async def _all(data: bytes, *, is_answer: bool) -> bool:
    return True


class Gate:
    """``close`` cuts what is connected and refuses what comes; ``open`` lets through again.

    ``pass_on`` sees what goes each way; where it says no, all that is connected is cut.
    """

    def __init__(self, host: str, port: int, pass_on: PassOn = _all) -> None:
        self._host, self._port, self._pass_on = host, port, pass_on
        self._is_open = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def close(self) -> None:
        self._is_open = False
        for each in self._writers:
            each.transport.abort()

    def open(self) -> None:
        self._is_open = True

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Gate]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.close()
            for each in self._tasks:
                each.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError):
            if self._is_open:
                there, back = await asyncio.open_connection(self._host, self._port)
                self._writers |= {writer, back}
                await asyncio.gather(
                    self._carry(reader, back, is_answer=False), self._carry(there, writer, is_answer=True)
                )
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not await self._pass_on(data, is_answer=is_answer):
                    self.close()
                    self.open()
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
