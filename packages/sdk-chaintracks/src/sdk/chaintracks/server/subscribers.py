"""Who is subscribed: counted, limited, and let go when the service stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from aiohttp import web

from sdk.service.http_app import SERVICE, client_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk.chaintracks.server.feed import Feed
    from sdk.chaintracks.server.options import ServerOptions


class Subscribers:
    """``kinds`` counts those of now (``websocket``, ``sse``), ``dropped`` those let go, by reason."""

    def __init__(self, feed: Feed, options: ServerOptions) -> None:
        self.feed, self.options = feed, options
        self.kinds: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return self.kinds.total()

    @contextmanager
    def admitted(self, request: web.Request, kind: str) -> Iterator[asyncio.Event]:
        """A place, and the event that wakes its reader. Raises 503 when there is none, 429 for one client's excess."""
        client = client_address(request, request.config_dict[SERVICE].limits.trusted_proxies)
        if self.feed.closed:
            raise web.HTTPServiceUnavailable(text="the service is stopping", headers={"Retry-After": "5"})
        if len(self) >= self.options.subscribers:
            raise web.HTTPServiceUnavailable(text="too many subscribers", headers={"Retry-After": "10"})
        if self._clients[client] >= self.options.subscribers_per_client:
            raise web.HTTPTooManyRequests(
                text=f"one client may hold {self.options.subscribers_per_client} subscriptions",
                headers={"Retry-After": "10"},
            )
        task = cast("asyncio.Task[object]", asyncio.current_task())  # a handler runs in one
        self._clients[client] += 1
        self.kinds[kind] += 1
        self._tasks.add(task)
        try:
            with self.feed.reader() as wake:
                yield wake
        finally:
            self._tasks.discard(task)
            self.kinds[kind] -= 1
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    async def drain(self) -> None:
        """Wake everyone for the last time; those who do not take their leave in time are cut off."""
        self.feed.close()
        waiting = self._tasks - {asyncio.current_task()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self.options.drain)
            self.dropped["drain"] += len(late)
            for each in late:
                each.cancel()
