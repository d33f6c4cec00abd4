"""The header service as a module."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import create_chaintracks_app
from sdk.chaintracks.settings import ChaintracksSettings
from sdk.chaintracks.sources.opening import SourceContext, open_sources
from sdk.chaintracks.store.folders import beside
from sdk.core.chain import ChainParameters
from sdk.devnet.system.modules.lifetime import held
from sdk.module_runtime.module.program import module
from sdk.service.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from sdk.module_runtime.module.context import ModuleContext

_FIRST_LOOK: Final = 5.0


@asynccontextmanager
async def _opened(settings: ChaintracksSettings) -> AsyncIterator[web.Application]:
    folder = beside(settings.database, settings.network, Path.cwd())
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    cache = folder.with_name(f"{folder.name}-downloads")
    context = SourceContext(ChainParameters.named(settings.network), key, settings.pause, cache)
    async with await Database.open(settings.database, schema=settings.database_schema) as database:
        service = await Chaintracks.open(
            settings.network,
            database,
            open_sources(settings.source, context),
            store=settings.store,
            folder=folder,
            interval=settings.interval,
            max_backoff=settings.max_backoff,
            stale_after=settings.stale_after,
        )
        try:
            with contextlib.suppress(TimeoutError):  # a long way to go is gone while serving
                await asyncio.wait_for(service.sync(), _FIRST_LOOK)
            await service.start()
            yield create_chaintracks_app(service)
        finally:
            await service.stop()


@module(name="headers", health=None, metrics=None)
async def headers(context: ModuleContext) -> web.Application:
    return await held(_opened(ChaintracksSettings.load(environ=context.env)))


if __name__ == "__main__":
    sys.exit(headers.run())
