"""A devnet as its settings describe it, with everything that works behind it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.devnet.arc.settings import ArcSettings
from sdk.devnet.chain.rules import Policy
from sdk.devnet.devnet import Devnet
from sdk.devnet.journal import Journal
from sdk.devnet.server import DevnetServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from sdk.devnet.settings import DevnetSettings


@dataclass(frozen=True)
class Opened:
    """``peer`` is where Bitcoin peers are served, ``host:port``, if they are."""

    app: web.Application
    peer: str | None


@asynccontextmanager
async def opened(settings: DevnetSettings) -> AsyncIterator[Opened]:
    journal = None if settings.directory is None else Journal(settings.directory)
    policy = Policy(fee_satoshis=settings.fee_satoshis, fee_bytes=settings.fee_bytes)
    key = settings.arc_api_key
    arc = ArcSettings(pace=settings.arc_pace, api_key=None if key is None else key.get_secret_value())
    with closing(Devnet(policy, premine=settings.premine, journal=journal)) as devnet:
        async with AsyncExitStack() as stack:
            server = DevnetServer(devnet, mine_every=settings.mine_every, arc=arc)
            app = await server.open_app(stack)
            peer = None
            if settings.p2p_port is not None:
                peer = await server.open_peers(stack, settings.host, settings.p2p_port)
            yield Opened(app, peer)
