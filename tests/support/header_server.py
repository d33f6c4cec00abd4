"""A header service of ours on a real socket, without sources: a test extends its chain itself."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.service.database import Database
from sdk.service.http_app import Limits
from support.header_rig import GENESIS, grown, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

    from sdk.chaintracks.server import ServerOptions
    from sdk.core.header import BlockHeader

FREE = Limits(rate=0, in_flight_per_client=2000, in_flight=2000)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task, or another process's end of a socket, is about to do; fails after 20 seconds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@dataclass
class HeaderServer:
    """``headers`` is the chain it shows, from genesis."""

    service: Chaintracks
    server: ChaintracksServer
    url: str
    headers: list[BlockHeader]

    async def grow(self, count: int = 1, *, salt: str = "") -> list[BlockHeader]:
        """Longer by ``count``, one event each; the new headers."""
        start = len(self.headers)
        self.headers = grown(self.headers, count, salt=salt)
        for each in self.headers[start:]:
            await self.service.chain.extend(each.to_bytes())
        return self.headers[start:]

    async def reorganise(self, depth: int, length: int, *, salt: str = "fork") -> list[BlockHeader]:
        """The last ``depth`` headers replaced by ``length`` others, in one event; those that are gone, tip first."""
        gone, kept = self.headers[: -depth - 1 : -1], self.headers[:-depth]
        self.headers = grown(kept, length, salt=salt)
        await self.service.chain.extend(raw(self.headers[len(kept) :]))
        return gone


@asynccontextmanager
async def header_server(
    folder: Path,
    *,
    name: str = "headers",
    start: int = 5,
    options: ServerOptions | None = None,
    limits: Limits | None = None,
    network: str = "mock",
    headers: list[BlockHeader] | None = None,
    port: int = 0,
) -> AsyncIterator[HeaderServer]:
    """Its chain has ``start`` headers after the first, or is ``headers``, in one event."""
    chain = headers or grown([GENESIS], start)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(await Database.open(f"sqlite:///{folder}/{name}.sqlite"))
        service = await Chaintracks.open(network, database, [])
        if len(chain) > 1:
            await service.chain.extend(raw(chain[1:]))
        server = ChaintracksServer(service, options=options, limits=limits or FREE)
        url = await server.start(port=port)
        stack.push_async_callback(server.stop)
        yield HeaderServer(service, server, url, chain)


class EventReader:
    """Server-sent events of one answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._content = answer.content

    async def next(self) -> dict[str, Any] | None:
        """Members by name, ``data`` decoded; comments and ``retry`` are passed over; None at the end."""
        found: dict[str, Any] = {}
        while line := (await self._content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name in ("id", "event", "data"):
                found[name] = json.loads(value) if name == "data" else value
            elif line == "\n" and found:
                return found
        return None
