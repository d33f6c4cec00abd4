"""A module of ours that uses everything an orchestrator offers, by HTTP routes a test can ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.messaging import Refused
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext


async def build(context: ModuleContext) -> web.Application:
    link = context.link
    assert link is not None
    connections: dict[str, str] = {}

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"method": request.method, "body": (await request.read()).decode()})

    async def secret(request: web.Request) -> web.Response:
        value = await context.secrets.get(request.match_info["name"])
        return web.Response(text=value.expose())

    async def service(request: web.Request) -> web.Response:
        """``{"service": name, "config": …, "operations": [[name, params], …]}``; ``"$"`` is the last text answered."""
        asked = await request.json()
        kind, results, last = asked["service"], list[Any](), ""
        try:
            if kind not in connections:
                connections[kind] = await link.open_service(kind, asked["config"])
            for operation, given in asked["operations"]:
                params = {name: last if value == "$" else value for name, value in given.items()}
                result = await link.operate(connections[kind], kind, operation, params)
                last = result if isinstance(result, str) else last
                results.append(result)
        except RuntimeModuleError as error:
            results.append(str(error))
        return web.json_response(results)

    async def ask(request: web.Request) -> web.Response:
        """The body, as a question to another module."""
        answer = await context.messages.ask(request.match_info["module"], "sum", await request.json())
        return web.json_response(answer)

    async def add(numbers: Any, source: str) -> Any:
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise Refused("no_numbers", "give a list of integers")
        return sum(numbers)

    context.messages.answer("sum", add)
    app = web.Application()
    app.router.add_post("/ask/{module}", ask)
    app.router.add_post("/echo", echo)
    app.router.add_get("/secret/{name}", secret)
    app.router.add_post("/service", service)
    return app


if __name__ == "__main__":
    program = ModuleProgram(build, "served", tuple(sys.argv[1:]), ServeOptions(drain=5), prefix="")
    sys.exit(program.run([]))
