"""A module with an aiohttp application: ``python web_module.py [messages]``; with ``messages`` it binds nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.program import ModuleProgram
from sdk.module_runtime.protocol.services import Endpoint

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"name": request.match_info["name"], "headers": dict(request.headers), "pid": os.getpid()})


async def secret(request: web.Request) -> web.Response:
    return web.json_response({"subject": request.headers.get("X-Auth-Subject")})


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), headers={"X-Length": str(request.content_length)})


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.query["chunks"])):
        await response.write(b"x" * 65_536)
    if "break" in request.query and request.transport is not None:
        request.transport.abort()
    return response


async def slow(request: web.Request) -> web.Response:
    print("slow begins", flush=True)
    await asyncio.sleep(600)
    return web.Response()


async def die(request: web.Request) -> web.Response:
    os._exit(7)


async def build(context: ModuleContext) -> web.Application:
    app = web.Application(client_max_size=1 << 26)
    app.add_routes(
        [
            web.get("/hello/{name}", hello),
            web.post("/echo", echo),
            web.get("/stream", stream),
            web.get("/slow", slow),
            web.get("/die", die),
            web.get("/secret", secret),
        ]
    )
    return app


ENDPOINTS = [
    Endpoint(path="/hello/{name}", methods=["GET"]),
    Endpoint(path="/echo", methods=["POST"]),
    Endpoint(path="/stream", methods=["GET"]),
    Endpoint(path="/slow", methods=["GET"]),
    Endpoint(path="/die", methods=["GET"]),
    Endpoint(path="/secret", methods=["GET"], auth="jwt"),
    Endpoint(path="no-slash", methods=["GET"]),
]

if __name__ == "__main__":
    options = ServeOptions(bind_http="messages" not in sys.argv, endpoints=ENDPOINTS)
    sys.exit(ModuleProgram(build, "web", options=options, health=None, metrics=None).run([]))
