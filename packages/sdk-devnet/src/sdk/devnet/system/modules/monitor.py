"""The storage's monitor as a module: it makes the tables, then sends, proves and repairs what wallets have queued."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sdk.devnet.system.modules.lifetime import held
from sdk.module_runtime.module.program import module
from sdk.monitor.monitor import Monitor
from sdk.monitor.server import TaskMetrics, monitor_app, monitor_registry
from sdk.monitor.settings import MonitorSettings
from sdk.service.database import Database
from sdk.service.migrations import installed, upgrade
from sdk.wallet.monitoring import open_backend
from sdk.wallet.settings import WalletSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import web

    from sdk.module_runtime.module.context import ModuleContext


@asynccontextmanager
async def _opened(environ: Mapping[str, str]) -> AsyncIterator[web.Application]:
    wallet = WalletSettings.load(environ=environ)
    async with await Database.open(wallet.database, schema=wallet.database_schema) as database:
        await upgrade(database, installed(("wallet", "monitor")))
    registry = monitor_registry()
    backend = await open_backend(wallet)
    try:
        settings = MonitorSettings.load(environ=environ)
        monitor = Monitor(backend, backend.database, settings=settings, on_finish=TaskMetrics(registry))
        await monitor.start()
        try:
            yield monitor_app(monitor, registry)
        finally:
            await monitor.stop()
    finally:
        await backend.close()


@module(name="monitor", health=None, metrics=None)
async def monitor(context: ModuleContext) -> web.Application:
    return await held(_opened(context.env))


if __name__ == "__main__":
    sys.exit(monitor.run())
