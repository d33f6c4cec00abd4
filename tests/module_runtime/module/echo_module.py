"""A module for the tests, run as a program of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.module.bootstrap import ServeOptions, run_module

if TYPE_CHECKING:
    from sdk.module_runtime.module.bootstrap import ModuleContext


async def build(context: ModuleContext) -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "method": request.method,
                "query": request.rel_url.raw_query_string,
                "body": (await request.read()).decode(),
            }
        )

    async def secret(request: web.Request) -> web.Response:
        value, _ = await context.link.get_secret(request.match_info["name"], timeout=30)
        return web.Response(text=value)

    async def operate(request: web.Request) -> web.Response:
        connection = request.match_info["connection"]
        return web.json_response(await context.link.operate(connection, "Database", "query", await request.json()))

    async def slow(request: web.Request) -> web.Response:
        sys.stderr.write("slow request began\n")
        sys.stderr.flush()
        value, _ = await context.link.get_secret("gate", timeout=30)
        return web.Response(text=value)

    async def noisy(request: web.Request) -> web.Response:
        print("this is no message")  # as a careless program does
        child = await asyncio.create_subprocess_exec("sh", "-c", "echo nor is this; read line; echo got:$line")
        await child.wait()
        return web.Response(text="quiet", headers={"X-One": "1"})

    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/secret/{name}", secret)
    app.router.add_post("/operate/{connection}", operate)
    app.router.add_get("/slow", slow)
    app.router.add_get("/noisy", noisy)
    return app


if __name__ == "__main__":
    sys.exit(run_module(build, secrets=sys.argv[1:], options=ServeOptions(drain=5)))
