"""All of it in one application, and that application on a socket."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from sdk.chaintracks.server.cdn import HeaderFolder
from sdk.chaintracks.server.feed import Feed
from sdk.chaintracks.server.options import ServerOptions
from sdk.chaintracks.server.pages import Pages
from sdk.chaintracks.server.sse import EventStreams
from sdk.chaintracks.server.status import ChaintracksMetrics, Status
from sdk.chaintracks.server.subscribers import Subscribers
from sdk.chaintracks.server.transactions import Transactions
from sdk.chaintracks.server.v1 import V1
from sdk.chaintracks.server.v2 import V2
from sdk.chaintracks.server.websocket import WebSockets
from sdk.service.http_app import create_app, running
from sdk.service.metrics import create_registry

if TYPE_CHECKING:
    from aiohttp import web

    from sdk.chaintracks.engine import Chaintracks
    from sdk.chaintracks.server.transactions import TransactionSource
    from sdk.service.http_app import Limits


def create_chaintracks_app(
    service: Chaintracks,
    *,
    limits: Limits | None = None,
    options: ServerOptions | None = None,
    transactions: TransactionSource | None = None,
) -> web.Application:
    """The v1 and v2 API with health, readiness and metrics; ``/readyz`` is false until the chain is current.

    ``transactions`` answers ``/tx`` and ``/merkle``; whoever opened it closes it.
    """
    chain = service.chain
    subscribers = Subscribers(Feed(chain), options or ServerOptions())
    status = Status(service, subscribers, service.clock)
    routes = [
        *V1(service).routes(),
        *V2(service).routes(),
        *EventStreams(chain, subscribers).routes(),
        *WebSockets(chain, subscribers).routes(),
        *status.routes(),
        *HeaderFolder(chain).routes(),
        *Transactions(service, transactions).routes(),
        *Pages(chain).routes(),
    ]
    registry = create_registry("chaintracks")
    ChaintracksMetrics.register(registry, service, subscribers, status)
    checks = {"headers": service.why_not_current, "database": chain.store.check}
    app = create_app("chaintracks", routes, limits=limits, checks=checks, registry=registry)

    async def drain(_: web.Application) -> None:
        await subscribers.drain()

    app.on_shutdown.append(drain)
    return app


class ChaintracksServer:
    """A header service over a real socket, inside this process: ``await start()`` gives its URL, ``await stop()`` ends
    it and closes the sources; the database stays open."""

    def __init__(
        self,
        service: Chaintracks,
        *,
        limits: Limits | None = None,
        options: ServerOptions | None = None,
        transactions: TransactionSource | None = None,
    ) -> None:
        self.service = service
        self._limits, self._options, self._transactions = limits, options, transactions
        self._open = AsyncExitStack()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Raises ``ConfigurationError`` for a port that is taken."""
        app = create_chaintracks_app(
            self.service, limits=self._limits, options=self._options, transactions=self._transactions
        )
        drain = (self._options or ServerOptions()).drain  # requests are answered in less time than that
        server = await self._open.enter_async_context(running(app, host, port, drain=drain))
        self._open.push_async_callback(self.service.stop)
        await self.service.start()
        return server.url

    async def stop(self) -> None:
        await self._open.aclose()
