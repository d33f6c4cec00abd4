"""A node of the Bitcoin network on a real socket, as honest or as odd as a test wants it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdk.chaintracks.sources.p2p.messages import (
    FRAME_HEAD,
    FrameHead,
    Version,
    frame,
    headers,
    inventory,
    parse_get_headers,
)
from sdk.core.chain import MOCK
from sdk.core.encodings import hash256

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sdk.core.header import BlockHeader


@dataclass
class PeerNode:
    """Serves ``chain`` (80-byte headers from genesis).

    ``order`` is what it answers a version with; ``silent`` ignores getheaders; ``claims`` is its start height;
    ``raw_answer`` replaces the payload of its headers messages; ``mirror`` sends the caller's own version back.
    """

    chain: list[bytes] = field(default_factory=lambda: [MOCK.genesis.to_bytes()])
    order: Sequence[str] = ("version", "verack")
    agent: str = "/Bitcoin SV:1.2.2/"
    version: int = 70016
    silent: bool = False
    claims: int | None = None
    raw_answer: bytes | None = None
    mirror: bool = False
    magic: bytes = MOCK.magic
    host: str = ""
    port: int = 0
    asked: int = 0
    connections: int = 0
    pongs: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def set_chain(self, chain: Sequence[BlockHeader]) -> None:
        self.chain = [each.to_bytes() for each in chain]

    async def announce(self, *, as_headers: bool = True) -> None:
        """Tell whoever is connected of the tip."""
        tip = self.chain[-1]
        for writer in self.writers:
            command, payload = ("headers", headers(tip)) if as_headers else ("inv", inventory([hash256(tip)]))
            writer.write(frame(self.magic, command, payload))
            await writer.drain()

    async def send(self, command: str, payload: bytes) -> None:
        for writer in self.writers:
            writer.write(frame(self.magic, command, payload))
            await writer.drain()

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[PeerNode]:
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._talk(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.host, self.port = server.sockets[0].getsockname()[:2]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = FrameHead.parse(self.magic, await reader.readexactly(FRAME_HEAD))
            payload = await reader.readexactly(head.length)
            if head.command == "version":
                self._greet(writer, payload)
                self.writers.append(writer)
            elif head.command == "getheaders":
                self.asked += 1
                if not self.silent:
                    writer.write(frame(self.magic, "headers", self._answer(payload)))
            elif head.command == "pong":
                self.pongs.append(payload)
            await writer.drain()

    def _greet(self, writer: asyncio.StreamWriter, theirs: bytes) -> None:
        height = len(self.chain) - 1 if self.claims is None else self.claims
        nonce = Version.parse(theirs).nonce if self.mirror else 7
        ours = Version(self.version, 33, 1_700_000_000, nonce, self.agent, height, relay=True)
        for command in self.order:
            writer.write(frame(self.magic, command, ours.to_bytes() if command == "version" else b""))

    def _answer(self, payload: bytes) -> bytes:
        if self.raw_answer is not None:
            return self.raw_answer
        locator, _ = parse_get_headers(payload)
        heights = {hash256(each): height for height, each in enumerate(self.chain)}
        after = next((heights[each] for each in locator if each in heights), 0) + 1
        return headers(b"".join(self.chain[after : after + 2000]))
