"""A module of ours that uses everything an orchestrator offers, by HTTP routes a test can ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.module.bootstrap import ServeOptions, run_module
from sdk.module_runtime.secrets.client import SecretClient
from sdk.module_runtime.secrets.providers.orchestrator import OrchestratorProvider

if TYPE_CHECKING:
    from sdk.module_runtime.module.bootstrap import ModuleContext


async def build(context: ModuleContext) -> web.Application:
    secrets = SecretClient(OrchestratorProvider(context.link))
    secrets.start()
    connections: dict[str, str] = {}

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"method": request.method, "body": (await request.read()).decode()})

    async def secret(request: web.Request) -> web.Response:
        value = await secrets.get(request.match_info["name"])
        return web.Response(text=value.expose())

    async def service(request: web.Request) -> web.Response:
        """``{"service": name, "config": …, "operations": [[name, params], …]}``; ``"$"`` is the last text answered."""
        asked = await request.json()
        kind, results, last = asked["service"], list[Any](), ""
        try:
            if kind not in connections:
                connections[kind] = await context.link.open_service(kind, asked["config"])
            for operation, given in asked["operations"]:
                params = {name: last if value == "$" else value for name, value in given.items()}
                result = await context.link.operate(connections[kind], kind, operation, params)
                last = result if isinstance(result, str) else last
                results.append(result)
        except RuntimeModuleError as error:
            results.append(str(error))
        return web.json_response(results)

    app = web.Application()
    app.router.add_post("/echo", echo)
    app.router.add_get("/secret/{name}", secret)
    app.router.add_post("/service", service)
    return app


if __name__ == "__main__":
    sys.exit(run_module(build, secrets=sys.argv[1:], options=ServeOptions(drain=5)))
