"""The chain as a module."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sdk.devnet.opening import opened
from sdk.devnet.settings import DevnetSettings
from sdk.devnet.system.modules.lifetime import held
from sdk.module_runtime.module.program import module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from sdk.module_runtime.module.context import ModuleContext


@asynccontextmanager
async def _opened(settings: DevnetSettings) -> AsyncIterator[web.Application]:
    async with opened(settings) as found:
        yield found.app


@module(name="devnet", health=None, metrics=None)
async def devnet(context: ModuleContext) -> web.Application:
    return await held(_opened(DevnetSettings.load(environ=context.env)))


if __name__ == "__main__":
    sys.exit(devnet.run())
