"""The module that ``benchmarks/runtime.py`` measures from within."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.module_runtime.module.context import ModuleContext


async def build(context: ModuleContext) -> web.Application:
    connections: dict[str, str] = {}

    async def operations(kind: str | dict[str, str], config: dict[str, str]) -> Callable[[], Awaitable[object]]:
        link, key = context.link, str(kind)
        assert link is not None
        if key not in connections:
            connections[key] = await link.open_service(kind, config)
        return lambda: link.operate(connections[key], kind, "ping", {})

    async def measure(request: web.Request) -> web.Response:
        """Operations a second, by as many callers as asked, each waiting for its own answer."""
        asked = await request.json()
        work = await operations(asked["service"], asked.get("config", {}))
        return web.json_response(await rate(work, asked["callers"], asked["seconds"]))

    async def hello(_: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    app.router.add_post("/measure", measure)
    app.router.add_get("/hello", hello)
    return app


async def rate(work: Callable[[], Awaitable[object]], callers: int, seconds: float) -> float:
    done, started = 0, time.perf_counter()

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            await work()
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "measured", (), ServeOptions(drain=5, http_tcp="127.0.0.1:0"), prefix="").run([]))
