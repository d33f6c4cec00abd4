"""Tips and reorganisations as server-sent events (spec/wallet-stack.md §6.4).

Each event has an id; a reader that comes back with it (``Last-Event-ID``, or ``?cursor=``) gets what it missed. What
cannot be told is an event named ``gap``; readers that know no such event pass over it.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sdk.chaintracks.events import EventHeader
from sdk.chaintracks.server.changes import Gap, first_event
from sdk.chaintracks.server.positions import read_cursor
from sdk.service.http_app import long_lived

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.server.changes import Change
    from sdk.chaintracks.server.positions import Position
    from sdk.chaintracks.server.subscribers import Subscribers

    _Form = Callable[[Change | Gap], bytes | None]

_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def _tip_of(item: Change | Gap) -> bytes:
    return item.event if isinstance(item, Gap) else item.tip_event


def _reorg_of(item: Change | Gap) -> bytes | None:
    return item.event if isinstance(item, Gap) else item.reorg_event


class EventStreams:
    """``GET /v2/tip/stream``: the tip at once, then each new one. ``GET /v2/reorg/stream``: each reorganisation."""

    def __init__(self, chain: HeaderChain, subscribers: Subscribers) -> None:
        self._chain, self._subscribers = chain, subscribers
        self._feed, self._options = subscribers.feed, subscribers.options

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.get("/v2/tip/stream", self.tips), web.get("/v2/reorg/stream", self.reorgs)]

    async def tips(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, _tip_of, with_tip=True)

    async def reorgs(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, _reorg_of, with_tip=False)

    async def _stream(self, request: web.Request, form: _Form, *, with_tip: bool) -> web.StreamResponse:
        cursor = request.headers.get("Last-Event-ID") or request.query.get("cursor")
        position = read_cursor(cursor) if cursor else None
        with self._subscribers.admitted(request, "sse") as wake:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            long_lived(request)
            await self._send(request, response, f"retry: {random.randint(1000, 5000)}\n\n".encode())
            if position is None:
                position, tip = self._feed.newest, self._chain.tip
                if with_tip:
                    here = EventHeader(tip.height, tip.hash, tip.raw)
                    await self._send(request, response, first_event(position, here))
            await self._pump(request, response, wake, position, form)
        return response

    async def _pump(
        self, request: web.Request, response: web.StreamResponse, wake: asyncio.Event, position: Position, form: _Form
    ) -> None:
        while True:
            closed = self._feed.closed  # what came before the end is still told
            wake.clear()
            position, items = await self._feed.read(position)
            text = b"".join(filter(None, map(form, items)))
            if text and not await self._send(request, response, text):
                return
            if items:
                continue
            if closed:
                return
            if self._feed.closed:
                continue
            try:
                async with asyncio.timeout(self._options.keepalive):
                    await wake.wait()
            except TimeoutError:
                if not await self._send(request, response, b": keepalive\n\n"):
                    return

    async def _send(self, request: web.Request, response: web.StreamResponse, text: bytes) -> bool:
        """Whether the reader took it. One that has not read for ``stall`` seconds is cut off."""
        try:
            async with asyncio.timeout(self._options.stall):
                await response.write(text)
        except TimeoutError:
            self._subscribers.dropped["stall"] += 1
            if request.transport is not None:
                request.transport.abort()
            return False
        except ConnectionError:
            return False
        return True
