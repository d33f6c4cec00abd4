"""The end of serving: who has just connected is heard, who says nothing is not waited for."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from sdk.module_runtime.module.http import FIRST_WORD, serving
from sdk.module_runtime.protocol.init import SocketAddress

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_a_request_on_a_connection_that_was_made_before_the_end_is_answered() -> None:
    app = web.Application()
    app.router.add_get("/", hello)
    entered, asked = asyncio.Event(), asyncio.Event()

    async def serve() -> str:
        async with serving(app, SocketAddress("127.0.0.1", 0), drain=5) as http:
            assert http.address is not None
            addresses.append(http.address)
            entered.set()
            await asked.wait()
        return "ended"

    addresses: list[str] = []
    task = asyncio.create_task(serve())
    await entered.wait()
    host, _, port = addresses[0].rpartition(":")
    late = await asyncio.open_connection(host, int(port))
    silent = await asyncio.open_connection(host, int(port))
    for _ in range(5):
        await asyncio.sleep(0)  # both are let in
    began = time.monotonic()
    asked.set()
    await asyncio.sleep(FIRST_WORD / 4)
    late[1].write(REQUEST)
    assert (await late[0].read()).endswith(b"hello")
    assert await task == "ended"
    assert await silent[0].read() == b""
    assert time.monotonic() - began < FIRST_WORD + 5
    for _, writer in (late, silent):
        writer.close()
        await writer.wait_closed()
