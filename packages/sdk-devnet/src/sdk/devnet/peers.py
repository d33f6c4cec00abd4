"""A node's port of the Bitcoin network, as far as headers go: handshake, getheaders, announcements, pings."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final, Protocol

from sdk.chaintracks.sources.p2p.messages import (
    FRAME_HEAD,
    MAX_HEADERS,
    PROTOCOL_VERSION,
    FrameHead,
    Version,
    frame,
    headers,
    inventory,
    parse_get_headers,
)
from sdk.core.chain import MOCK
from sdk.core.errors import ConfigurationError, ParseError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.core.ports import Clock
    from sdk.devnet.devnet import Devnet

MAX_PEERS: Final = 64
_NETWORK: Final = 1 | 32
_PATIENCE: Final = 30.0
"""Seconds a peer has for the rest of a message it began, and to take what it asked for."""
_AGENT: Final = "/sdk-devnet:0.1/"

log = get_logger(__name__)


class HeaderView(Protocol):
    """The best chain as a peer sees it; hashes in wire order."""

    @property
    def height(self) -> int: ...

    def after(self, locator: Sequence[bytes], stop: bytes) -> bytes:
        """Up to 2000 headers of 80 bytes after the first known hash of ``locator``, or after the first block."""
        ...

    def tip(self) -> tuple[bytes, bytes]:
        """Hash and header."""
        ...

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when the tip has changed, until what is returned is called."""
        ...


class DevnetView:
    """A ``HeaderView`` of a devnet, which keeps hashes and headers of the best chain beside it."""

    def __init__(self, devnet: Devnet) -> None:
        self._devnet = devnet
        self._hashes: list[bytes] = []
        self._raws: list[bytes] = []
        self._heights: dict[bytes, int] = {}

    @property
    def height(self) -> int:
        return self._devnet.height

    def after(self, locator: Sequence[bytes], stop: bytes) -> bytes:
        self._follow()
        first = next((self._heights[each] for each in locator if each in self._heights), 0) + 1
        last = min(first + MAX_HEADERS, self._heights.get(stop, self.height) + 1)
        return b"".join(self._raws[first:last])

    def tip(self) -> tuple[bytes, bytes]:
        self._follow()
        return self._hashes[-1], self._raws[-1]

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._devnet.subscribe(lambda _: listener())

    def _follow(self) -> None:
        while self._hashes and (
            len(self._hashes) - 1 > self.height or self._hashes[-1] != self._hash_at(len(self._hashes) - 1)
        ):
            del self._heights[self._hashes.pop()]
            self._raws.pop()
        for height in range(len(self._hashes), self.height + 1):
            self._hashes.append(self._hash_at(height))
            self._raws.append(self._devnet.header_at(height).to_bytes())
            self._heights[self._hashes[-1]] = height

    def _hash_at(self, height: int) -> bytes:
        return bytes.fromhex(self._devnet.header_at(height).hash())[::-1]


class PeerServer:
    """Serves ``view`` to every peer that dials, from ``start`` to ``stop``."""

    def __init__(self, view: HeaderView, clock: Clock, *, magic: bytes = MOCK.magic) -> None:
        self._view, self._clock, self._magic = view, clock, magic
        self._server: asyncio.Server | None = None
        self._peers: set[_Connection] = set()
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Where it listens; port 0 takes a free one. Raises ``ConfigurationError`` if it cannot listen there."""
        try:
            self._server = await asyncio.start_server(self._welcome, host, port)
        except OSError as error:
            raise ConfigurationError(f"the peer port cannot listen on {host}:{port}: {error.strerror}") from error
        self._unsubscribe = self._view.subscribe(self._announce)
        found = self._server.sockets[0].getsockname()
        return found[0], found[1]

    async def stop(self) -> None:
        """Ends every connection; safe to repeat."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        server, self._server = self._server, None
        if server is not None:
            server.close()
            tasks = [each.task for each in self._peers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = _Connection(self._view, self._magic, self._clock, reader, writer, task)
        try:
            if len(self._peers) < MAX_PEERS:
                self._peers.add(peer)
                await peer.serve()
        except (ParseError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.info("peer left", reason=f"{error}" or type(error).__name__)
        except asyncio.CancelledError:
            return  # ``stop`` ends it; asyncio's streams would report a cancelled handler as an error
        finally:
            self._peers.discard(peer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _announce(self) -> None:
        for peer in list(self._peers):
            peer.announce()


class _Connection:
    def __init__(
        self,
        view: HeaderView,
        magic: bytes,
        clock: Clock,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        task: asyncio.Task[None],
    ) -> None:
        self._view, self._magic, self._clock = view, magic, clock
        self._reader, self._writer, self.task = reader, writer, task
        self._ready = self._wants_headers = False

    async def serve(self) -> None:
        while True:
            head = FrameHead.parse(self._magic, await self._reader.readexactly(FRAME_HEAD))
            async with asyncio.timeout(_PATIENCE):
                payload = await self._reader.readexactly(head.length)
            if head.fits(payload):
                self._handle(head.command, payload)
                async with asyncio.timeout(_PATIENCE):
                    await self._writer.drain()

    def announce(self) -> None:
        if self._ready and not self._writer.is_closing():
            block_hash, raw = self._view.tip()
            if self._wants_headers:
                self._send("headers", headers(raw))
            else:
                self._send("inv", inventory([block_hash]))

    def _handle(self, command: str, payload: bytes) -> None:
        if command == "version":
            Version.parse(payload)
            now, nonce = int(self._clock().timestamp()), int.from_bytes(os.urandom(8), "little")
            ours = Version(PROTOCOL_VERSION, _NETWORK, now, nonce, _AGENT, self._view.height)
            self._send("version", ours.to_bytes())
            self._send("verack")
        elif command == "verack":
            self._ready = True
        elif command == "sendheaders":
            self._wants_headers = True
        elif command == "ping":
            self._send("pong", payload)
        elif command == "getheaders":
            self._send("headers", headers(self._view.after(*parse_get_headers(payload))))

    def _send(self, command: str, payload: bytes = b"") -> None:
        self._writer.write(frame(self._magic, command, payload))
