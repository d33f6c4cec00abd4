"""A module that uses nothing but HTTP, and tells what its process has loaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext


async def build(context: ModuleContext) -> web.Application:
    async def loaded(_: web.Request) -> web.Response:
        return web.json_response(sorted(sys.modules))

    app = web.Application()
    app.router.add_get("/loaded", loaded)
    return app


if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "lean").run())
