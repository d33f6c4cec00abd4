"""A wallet as a module: its root key is a secret of the orchestrator, its interface is served to those with a token.

It binds no port, so that nothing but the gateway reaches it. ``WALLET_MODULE_PREFIX`` is what its paths begin with,
``WALLET_MODULE_KEY`` the name of the secret.
"""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sdk.core.wallet_wire import CALLS
from sdk.devnet.system.modules.lifetime import held
from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.program import ModuleProgram
from sdk.module_runtime.protocol.services import Endpoint
from sdk.wallet import open_wallet
from sdk.wallet.settings import WalletSettings
from sdk.wallet.substrates.http_server import wallet_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from sdk.module_runtime.module.context import ModuleContext

PREFIX: Final = "WALLET_MODULE_PREFIX"
KEY_SECRET: Final = "WALLET_MODULE_KEY"
DEFAULT_KEY: Final = "WALLET_ROOT_KEY"


@asynccontextmanager
async def _opened(context: ModuleContext) -> AsyncIterator[web.Application]:
    settings = WalletSettings.load(environ=context.env)
    root_key = await context.secrets.get(context.env.get(KEY_SECRET, DEFAULT_KEY))
    async with open_wallet(root_key=root_key.expose(), settings=settings, background="external") as wallet:
        yield wallet_app(wallet)


async def build(context: ModuleContext) -> web.Application:
    return await held(_opened(context))


def program(prefix: str) -> ModuleProgram:
    """Whoever may ask it may spend: every endpoint wants a token."""
    endpoints = [Endpoint(path=f"{prefix}/{call.name}", methods=["POST"], auth="jwt") for call in CALLS]
    options = ServeOptions(bind_http=False, endpoints=endpoints)
    return ModuleProgram(build, "wallet", options=options, health=None, metrics=None, prefix=prefix)


if __name__ == "__main__":
    sys.exit(program(os.environ.get(PREFIX, "")).run())
