"""An application that ends what it was built on."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web


async def held(opened: AbstractAsyncContextManager[web.Application]) -> web.Application:
    """The application of a context, which is left when the application is cleaned up."""
    stack = AsyncExitStack()
    app = await stack.enter_async_context(opened)

    async def end(_app: web.Application) -> None:
        await stack.aclose()

    app.on_cleanup.append(end)
    return app
