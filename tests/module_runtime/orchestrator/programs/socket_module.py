"""A module with WebSockets and streams: ``python socket_module.py [messages]``; with ``messages`` it binds nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.program import ModuleProgram
from sdk.module_runtime.protocol.services import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.module.context import ModuleContext


STOPPING: web.AppKey[list[Callable[[], None]]] = web.AppKey("stopping", list)


async def echo(request: web.Request) -> web.StreamResponse:
    """Says who it is, then everything back; ``close CODE REASON`` closes. Prints how it ended."""
    socket = web.WebSocketResponse(protocols=("v2.notes", "v1.notes"), max_msg_size=1 << 26, compress=False)
    socket.headers["X-Module"] = "echo"
    await socket.prepare(request)
    heard = {name.lower(): value for name, value in request.headers.items()}
    await socket.send_json({"pid": os.getpid(), "headers": heard, "protocol": socket.ws_protocol})
    async for message in socket:
        if message.type is WSMsgType.TEXT and message.data.startswith("close "):
            _, code, reason = message.data.split(" ", 2)
            await socket.close(code=int(code), message=reason.encode())
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    print(f"echo ended {socket.close_code}", flush=True)
    return socket


async def pings(request: web.Request) -> web.StreamResponse:
    """Sends back what pings and pongs carried."""
    socket = web.WebSocketResponse(autoping=False)
    await socket.prepare(request)
    await socket.ping(b"from the module")
    async for message in socket:
        await socket.send_str(f"{message.type.name} {message.data.decode()}")
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
    return socket


async def pour(request: web.Request) -> web.StreamResponse:
    """As much as is taken; prints after each MiB."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    for sent in range(1, 1 << 30):
        await socket.send_bytes(b"x" * 65_536)
        if sent % 16 == 0:
            print(f"poured {sent // 16} MiB", flush=True)
    return socket


async def deaf(request: web.Request) -> web.StreamResponse:
    """Takes the connection and reads nothing."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    await asyncio.sleep(600)
    return socket


async def leave(request: web.Request) -> web.StreamResponse:
    """Ends the process without a close as soon as the application is told to stop."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("here")
    request.app[STOPPING].append(lambda: os._exit(0))
    await asyncio.sleep(600)
    return socket


async def on_stop(app: web.Application) -> None:
    for each in app[STOPPING]:
        each()


async def refuse(request: web.Request) -> web.StreamResponse:
    how = request.query["how"]
    if how == "redirect":
        raise web.HTTPFound("http://192.0.2.1/elsewhere")
    if how == "fine":
        return web.Response(text="this is a page")
    return web.json_response({"why": "not you"}, status=403, headers={"X-Reason": "name"})


async def events(request: web.Request) -> web.StreamResponse:
    """An event, a pause of ``pause`` seconds, and so on."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(100):
        await response.write(f"id: {number}\ndata: {os.getpid()}\n\n".encode())
        await asyncio.sleep(float(request.query["pause"]))
    return response


async def both_ways(request: web.Request) -> web.StreamResponse:
    """Answers each part of the body when it comes."""
    response = web.StreamResponse()
    await response.prepare(request)
    async for part in request.content.iter_any():
        await response.write(part.upper())
    return response


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"pid": os.getpid()})


async def build(context: ModuleContext) -> web.Application:
    app = web.Application(client_max_size=1 << 26)
    app[STOPPING] = []
    app.on_shutdown.append(on_stop)
    app.add_routes(
        [
            web.get("/echo", echo),
            web.get("/private", echo),
            web.get("/pings", pings),
            web.get("/pour", pour),
            web.get("/deaf", deaf),
            web.get("/refuse", refuse),
            web.get("/leave", leave),
            web.get("/events", events),
            web.get("/private-events", events),
            web.post("/both-ways", both_ways),
            web.get("/hello", hello),
        ]
    )
    return app


ENDPOINTS = [
    *(
        Endpoint(path=path, methods=["GET"])
        for path in ("/leave", "/echo", "/pings", "/pour", "/deaf", "/refuse", "/events", "/hello")
    ),
    *(Endpoint(path=path, methods=["GET"], auth="jwt") for path in ("/private", "/private-events")),
    Endpoint(path="/both-ways", methods=["POST"]),
]

if __name__ == "__main__":
    options = ServeOptions(bind_http="messages" not in sys.argv, endpoints=ENDPOINTS, drain=5)
    sys.exit(ModuleProgram(build, "sockets", options=options, health=None, metrics=None).run([]))
