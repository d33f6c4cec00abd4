"""A module that answers HTTP in frames, and asks its neighbour that way: GET /sum/{module}?n=1&n=2."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.errors import RoutedRequestFailed
from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.http_tcp_found import http_tcp_client
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.program import module

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext


@module(options=ServeOptions(http_tcp="127.0.0.1:0", drain=1), name="neighbour")
async def neighbour(context: ModuleContext) -> web.Application:
    async def add(request: web.Request) -> web.Response:
        return web.json_response({"sum": sum(map(int, request.query.getall("n"))), "by": context.module_id})

    async def ask(request: web.Request) -> web.Response:
        assert isinstance(context.link, Links)
        try:
            client = await http_tcp_client(context.link, request.match_info["module"])
        except RoutedRequestFailed as error:
            return web.Response(status=502, text=str(error))
        async with client:
            return web.json_response(await client.request_json("GET", "/add", query=list(request.query.items())))

    app = web.Application()
    app.router.add_get("/add", add)
    app.router.add_get("/sum/{module}", ask)
    return app


if __name__ == "__main__":
    sys.exit(neighbour.run())
