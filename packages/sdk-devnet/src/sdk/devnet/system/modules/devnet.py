"""The chain as a module."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING

from sdk.devnet.arc.settings import ArcSettings
from sdk.devnet.chain.rules import Policy
from sdk.devnet.devnet import Devnet
from sdk.devnet.journal import Journal
from sdk.devnet.server import DevnetServer
from sdk.devnet.settings import DevnetSettings
from sdk.devnet.system.modules.lifetime import held
from sdk.module_runtime.module.program import module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from sdk.module_runtime.module.context import ModuleContext


@asynccontextmanager
async def _opened(settings: DevnetSettings) -> AsyncIterator[web.Application]:
    journal = None if settings.directory is None else Journal(settings.directory)
    policy = Policy(fee_satoshis=settings.fee_satoshis, fee_bytes=settings.fee_bytes)
    key = settings.arc_api_key
    arc = ArcSettings(pace=settings.arc_pace, api_key=None if key is None else key.get_secret_value())
    with closing(Devnet(policy, premine=settings.premine, journal=journal)) as devnet:
        async with AsyncExitStack() as stack:
            yield await DevnetServer(devnet, mine_every=settings.mine_every, arc=arc).open_app(stack)


@module(name="devnet", health=None, metrics=None)
async def devnet(context: ModuleContext) -> web.Application:
    return await held(_opened(DevnetSettings.load(environ=context.env)))


if __name__ == "__main__":
    sys.exit(devnet.run())
