"""Real HTTP servers on loopback that answer what a test tells them to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Script:
    """``handler`` answers; ``seen`` lists what was asked."""

    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    url: str = ""
    seen: list[Seen] = field(default_factory=list)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Script]:
    script = Script(handler)

    async def answer(request: web.Request) -> web.StreamResponse:
        text = await request.text()
        script.seen.append(Seen(request.method, request.path_qs, dict(request.headers), text))
        return await script.handler(request)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    script.url = f"http://{host}:{port}"
    try:
        yield script
    finally:
        await runner.cleanup()


def always(response: Callable[[], web.StreamResponse]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return response()

    return handler


async def endless(request: web.Request) -> web.StreamResponse:
    """JSON that never ends."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b"[" * 65536)
    except (ConnectionResetError, asyncio.CancelledError):
        return response


async def silent(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def cut_short(request: web.Request) -> web.StreamResponse:
    """Announces more than it sends, then hangs up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"txid": "')
    assert request.transport is not None
    request.transport.close()
    return response
