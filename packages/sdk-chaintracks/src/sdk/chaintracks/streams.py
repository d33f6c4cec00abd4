"""New tips as server-sent events (spec/wallet-stack.md §6.4): the tip at once, then every change of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from sdk.chaintracks.consensus.fields import header_json
from sdk.service.http_app import SERVICE, long_lived

if TYPE_CHECKING:
    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.events import EventHeader, TipEvent
    from sdk.chaintracks.tree import Node

MAX_SUBSCRIBERS: Final = 2_000
MAX_WAITING: Final = 64
"""Tips that wait for a slow reader; one that lags further is cut off, and gets the tip when it comes back."""
KEEPALIVE: Final = 15.0


class TipStream:
    """``GET /v2/tip/stream``. A reader that wants to know what a reorganisation removed compares the heights."""

    def __init__(self, chain: HeaderChain, *, keepalive: float = KEEPALIVE) -> None:
        self._chain, self._keepalive = chain, keepalive
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        chain.listeners.append(self._publish)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.get("/v2/tip/stream", self.stream)]

    @property
    def subscribers(self) -> int:
        return len(self._queues)

    def _publish(self, change: TipEvent) -> None:
        event = _event(change.tip)
        for queue in list(self._queues):
            if queue.full():
                self._queues.discard(queue)
                queue.get_nowait()  # makes room for the end
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._queues) >= MAX_SUBSCRIBERS:
            raise web.HTTPServiceUnavailable(text="too many subscribers", headers={"Retry-After": "10"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        long_lived(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self._queues.add(queue)
        try:
            await response.write(_event(self._chain.tip))
            await self._pump(request, response, queue)
        finally:
            self._queues.discard(queue)
        return response

    async def _pump(
        self, request: web.Request, response: web.StreamResponse, queue: asyncio.Queue[bytes | None]
    ) -> None:
        stopping = asyncio.create_task(request.app[SERVICE].draining.wait())
        event = asyncio.create_task(queue.get())
        try:
            while not stopping.done():
                await asyncio.wait({event, stopping}, timeout=self._keepalive, return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    found = event.result()
                    if found is None:
                        return
                    event = asyncio.create_task(queue.get())
                    await response.write(found)
                elif not stopping.done():
                    await response.write(b": keepalive\n\n")
        except ConnectionError:
            return  # the reader has gone
        finally:
            stopping.cancel()
            event.cancel()
            await asyncio.gather(stopping, event, return_exceptions=True)


def _event(node: Node | EventHeader) -> bytes:
    return b"data: " + orjson.dumps(header_json(node.raw, node.height, node.hash)) + b"\n\n"
