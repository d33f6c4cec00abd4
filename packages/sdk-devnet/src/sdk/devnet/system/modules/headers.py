"""The header service as a module."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sdk.chaintracks.cli import serving
from sdk.chaintracks.settings import ChaintracksSettings
from sdk.devnet.system.modules.lifetime import held
from sdk.module_runtime.module.program import module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from sdk.module_runtime.module.context import ModuleContext


@asynccontextmanager
async def _opened(settings: ChaintracksSettings) -> AsyncIterator[web.Application]:
    async with serving(settings) as (_service, app):
        yield app


@module(name="headers", health=None, metrics=None)
async def headers(context: ModuleContext) -> web.Application:
    return await held(_opened(ChaintracksSettings.load(environ=context.env)))


if __name__ == "__main__":
    sys.exit(headers.run())
