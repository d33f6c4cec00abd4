"""A module whose handler blocks the event loop for ever, as a careless one does."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext


async def build(_context: ModuleContext) -> web.Application:
    async def hang(_request: web.Request) -> web.Response:
        sys.stderr.write("it hangs\n")
        sys.stderr.flush()
        threading.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/hang", hang)
    return app


if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "stuck", options=ServeOptions(drain=0.1, patience=0.1)).run([]))
