"""A module for the tests, run as a program of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import random
import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.module_runtime.channels.streams import StreamFailed
from sdk.module_runtime.errors import RoutedRequestFailed
from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.messaging import Refused
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from sdk.module_runtime.channels.streams import IncomingStream
    from sdk.module_runtime.module.context import ModuleContext


async def build(context: ModuleContext) -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "method": request.method,
                "query": request.rel_url.raw_query_string,
                "body": (await request.read()).decode(),
            }
        )

    async def mirror(request: web.Request) -> web.Response:
        return web.Response(body=(await request.read())[::-1])

    async def secret(request: web.Request) -> web.Response:
        assert context.link is not None
        value, _ = await context.link.get_secret(request.match_info["name"], timeout=30)
        return web.Response(text=value)

    async def operate(request: web.Request) -> web.Response:
        assert context.link is not None
        connection = request.match_info["connection"]
        return web.json_response(await context.link.operate(connection, "Database", "query", await request.json()))

    async def slow(request: web.Request) -> web.Response:
        sys.stderr.write("slow request began\n")
        sys.stderr.flush()
        assert context.link is not None
        value, _ = await context.link.get_secret("gate", timeout=30)
        return web.Response(text=value)

    async def gate(_request: web.Request) -> web.Response:
        sys.stderr.write("waits at the gate\n")
        sys.stderr.flush()
        await opened.wait()
        return web.Response(text="passed")

    async def open_gate(_request: web.Request) -> web.Response:
        opened.set()
        return web.Response(text="open")

    async def noisy(request: web.Request) -> web.Response:
        print("this is no message")  # as a careless program does
        child = await asyncio.create_subprocess_exec("sh", "-c", "echo nor is this; read line; echo got:$line")
        await child.wait()
        return web.Response(text="quiet", headers={"X-One": "1"})

    async def careless(request: web.Request) -> web.Response:
        value = (await context.secrets.get("turning")).expose()
        print("printed", value)
        logging.getLogger("careless").error("logged %s", base64.b64encode(value.encode()).decode())
        raise RuntimeError(f"raised {value}")

    async def cached(request: web.Request) -> web.Response:
        return web.Response(text=(await context.secrets.get(request.match_info["name"])).expose())

    async def ask(request: web.Request) -> web.Response:
        module, endpoint = request.match_info["module"], request.match_info["endpoint"]
        value, properties = await request.json(), dict(request.query) or None
        try:
            return web.json_response(await context.messages.ask(module, endpoint, value, properties=properties))
        except RoutedRequestFailed as error:
            return web.Response(status=502, text=str(error))

    async def offer(request: web.Request) -> web.Response:
        assert isinstance(context.link, Links)
        name = request.match_info["name"]
        await context.link.register_provider({"Custom": "greeter"}, name, f"{name}:1", version="2", metadata={"a": "b"})
        return web.Response(text="offered")

    async def find(_request: web.Request) -> web.Response:
        assert isinstance(context.link, Links)
        found = await context.link.discover_providers({"Custom": "greeter"}, all_providers=True)
        return web.json_response({each.name: [each.module_id, each.address, each.version] for each in found})

    async def double(value: Any, source: str) -> Any:
        if not isinstance(value, int):
            raise Refused("no_number", "give an integer")
        return {"double": value * 2, "source": source}

    async def wait(_value: Any, _source: str) -> Any:
        assert context.link is not None
        return (await context.link.get_secret("gate", timeout=30))[0]

    async def broken(_value: Any, _source: str) -> Any:
        raise RuntimeError("with something secret in it")

    async def unsayable(_value: Any, _source: str) -> Any:
        return object()

    async def too_much(_value: Any, _source: str) -> Any:
        return "x" * 9_000_000

    async def keep(stream: IncomingStream) -> None:
        data = await stream.read(1 << 24)
        received.put_nowait(data)
        taken.append({"from": stream.source, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})

    async def send(request: web.Request) -> web.Response:
        assert isinstance(context.link, Links)
        data = random.Random(int(request.match_info["seed"])).randbytes(int(request.match_info["size"]))
        try:
            await context.link.stream(data, to=request.match_info["module"])
        except StreamFailed as error:
            return web.Response(status=502, text=str(error))
        return web.Response(text=hashlib.sha256(data).hexdigest())

    async def streams(_value: Any, _source: str) -> Any:
        return taken

    async def streamed(request: web.Request) -> web.Response:
        """Waits for a stream, and sends it back as another."""
        assert isinstance(context.link, Links)
        await context.link.stream((await received.get())[::-1])
        return web.Response(text="sent back")

    opened = asyncio.Event()
    received: asyncio.Queue[bytes] = asyncio.Queue()
    taken: list[dict[str, Any]] = []
    context.messages.on_stream = keep
    context.messages.answer("double", double)
    context.messages.answer("wait", wait)
    context.messages.answer("streams", streams)
    context.messages.answer("broken", broken)
    context.messages.answer("unsayable", unsayable)
    context.messages.answer("too_much", too_much)
    app = web.Application()
    app.router.add_get("/cached/{name}", cached)
    app.router.add_post("/ask/{module}/{endpoint}", ask)
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/secret/{name}", secret)
    app.router.add_post("/operate/{connection}", operate)
    app.router.add_get("/careless", careless)
    app.router.add_post("/offer/{name}", offer)
    app.router.add_get("/providers", find)
    app.router.add_post("/mirror", mirror)
    app.router.add_get("/gate", gate)
    app.router.add_get("/open", open_gate)
    app.router.add_get("/slow", slow)
    app.router.add_get("/streamed", streamed)
    app.router.add_post("/send/{module}/{size}/{seed}", send)
    app.router.add_get("/noisy", noisy)
    return app


if __name__ == "__main__":
    program = ModuleProgram(build, "echo", tuple(sys.argv[1:]), ServeOptions(drain=5), prefix="")
    sys.exit(program.run([]))
