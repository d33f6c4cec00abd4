"""The devnet behind sockets: ARC, WhatsOnChain, faucet and admin endpoints on one port, Bitcoin P2P on another."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

from sdk.devnet.admin import AdminRoutes
from sdk.devnet.arc.routes import ArcRoutes
from sdk.devnet.arc.service import ArcService
from sdk.devnet.arc.settings import ArcSettings
from sdk.devnet.devnet import Devnet, utc_now
from sdk.devnet.errors import DevnetError, OutOfRange
from sdk.devnet.faulty import fault_middleware
from sdk.devnet.peers import DevnetView, PeerServer
from sdk.devnet.whatsonchain.routes import WhatsOnChainRoutes
from sdk.service.http_app import REQUEST_ID, Limits, create_app, error_response, running
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from sdk.core.ports import Clock

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DevnetUrls:
    """``arc`` and ``whatsonchain`` are what clients of these services take as their base; ``base`` has the rest."""

    base: str
    arc: str
    whatsonchain: str

    @classmethod
    def of(cls, base: str) -> Self:
        return cls(base, base, f"{base}/v1/bsv/mock")

    def wallet_settings(self) -> dict[str, str]:
        """The environment that points a wallet at this devnet."""
        return {
            "SDK_WALLET_CHAIN": "mock",
            "SDK_WALLET_ARC_URL": self.arc,
            "SDK_WALLET_WHATSONCHAIN_URL": self.whatsonchain,
            "SDK_WALLET_WHATSONCHAIN_MIN_INTERVAL": "0",
            "SDK_WALLET_WHATSONCHAIN_DEPENDENT_WAIT": "0",
        }


class DevnetServer:
    """Serves ``devnet`` (a new one if none is given; it is not closed) from ``start`` to ``stop``.

    ``mine_every`` seconds a block is mined, if given. Use it as an async context manager or call both.
    """

    def __init__(
        self,
        devnet: Devnet | None = None,
        *,
        mine_every: float | None = None,
        arc: ArcSettings | None = None,
        clock: Clock = utc_now,
    ) -> None:
        if mine_every is not None and mine_every <= 0:
            raise OutOfRange("the seconds between two blocks", int(mine_every), 1, 86_400)
        self.devnet = devnet or Devnet(clock=clock)
        self._mine_every, self._clock = mine_every, clock
        self._arc_settings = arc or ArcSettings()
        self._stack: AsyncExitStack | None = None
        self._urls: DevnetUrls | None = None
        self._peer = ""

    @property
    def urls(self) -> DevnetUrls:
        """Raises ``DevnetError`` unless it runs."""
        if self._urls is None:
            raise DevnetError("the devnet server does not run: call start() first")
        return self._urls

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> DevnetUrls:
        """Port 0 takes a free one. Raises ``ConfigurationError`` if it cannot listen there."""
        if self._stack is not None:
            raise DevnetError("the devnet server runs already")
        async with AsyncExitStack() as stack:
            app = await self.open_app(stack)
            server = await stack.enter_async_context(running(app, host, port, drain=1.0))
            self._peer = await self.open_peers(stack, host)
            self._urls = DevnetUrls.of(server.url)
            self._stack = stack.pop_all()
        return self._urls

    async def stop(self) -> None:
        """Ends what ``start`` began; safe to repeat."""
        stack, self._stack, self._urls = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    @property
    def peer(self) -> str:
        """``host:port`` of the Bitcoin P2P port, which serves headers. Raises ``DevnetError`` unless it runs."""
        if self._stack is None:
            raise DevnetError("the devnet server does not run: call start() first")
        return self._peer

    async def open_peers(self, stack: AsyncExitStack, host: str, port: int = 0) -> str:
        """Listen for peers until ``stack`` ends; where. Raises ``ConfigurationError``."""
        peers = PeerServer(DevnetView(self.devnet), self._clock)
        found, number = await peers.start(host, port)
        stack.push_async_callback(peers.stop)
        return f"{found}:{number}"

    async def open_app(self, stack: AsyncExitStack) -> web.Application:
        """The application; what works behind it ends with ``stack``."""
        arc = ArcService(self.devnet, self._arc_settings, self._clock)
        stack.push_async_callback(arc.close)
        if self._mine_every is not None:
            miner = asyncio.create_task(self._mine_on(self._mine_every), name="devnet miner")
            stack.push_async_callback(_end, miner)
        routes = [
            *ArcRoutes(arc).table(),
            *WhatsOnChainRoutes(self.devnet, self._clock).table(),
            *AdminRoutes(self.devnet).table(),
        ]
        limits = Limits(body=self._arc_settings.max_body, rate=0, in_flight=1024, in_flight_per_client=1024)
        middlewares = [_explain, fault_middleware(self.devnet.faults, self.devnet.chain)]
        return create_app("devnet", routes, limits=limits, middlewares=middlewares)

    async def _mine_on(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.devnet.mine(1)
            log.info("mined", height=self.devnet.height, hash=self.devnet.tip.hash)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the chain refuses is the caller's to mend, not a failure of the service."""
    try:
        return await handler(request)
    except DevnetError as error:
        return error_response(400, error.code, str(error), request[REQUEST_ID])
