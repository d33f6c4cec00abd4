"""A module that uses secrets and tokens in every way, and is careless with them."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.auth import OrchestratorTokens, TokenInvalid, TokenNotAllowed
from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.program import ModuleProgram
from sdk.module_runtime.protocol.services import Endpoint
from sdk.module_runtime.secrets.errors import SecretError

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext
    from sdk.module_runtime.secrets import Secret


async def build(context: ModuleContext) -> web.Application:
    assert context.link is not None
    tokens = OrchestratorTokens(context.link)
    taken: list[str] = []

    def subscriber(name: str, secret: Secret[str] | None) -> None:
        taken.append("gone" if secret is None else secret.expose())

    context.secrets.subscribe(["DB_PASSWORD"], subscriber)

    async def secret(request: web.Request) -> web.Response:
        try:
            return web.Response(text=(await context.secrets.get(request.match_info["name"])).expose())
        except SecretError as error:
            return web.Response(status=403, text=error.code)

    async def put(request: web.Request) -> web.Response:
        try:
            await context.secrets.set(request.match_info["name"], await request.text())
        except SecretError as error:
            return web.Response(status=403, text=error.code)
        return web.json_response(await context.secrets.names())

    async def heard(_request: web.Request) -> web.Response:
        return web.json_response(taken)

    async def leak(request: web.Request) -> web.Response:
        value = (await context.secrets.get("DB_PASSWORD")).expose()
        sys.stderr.write(f"raw {value} base64 {base64.b64encode(value.encode()).decode()} hex {value.encode().hex()}\n")
        sys.stderr.write(f"cut {value[:5]}")
        sys.stderr.flush()
        sys.stderr.write(f"{value[5:]} end\n")
        print("printed", value, flush=True)
        raise RuntimeError(f"cannot connect with {value}")

    async def token(request: web.Request) -> web.Response:
        try:
            return web.Response(text=await tokens.generate({"sub": request.match_info["name"], "aud": "stack"}))
        except TokenNotAllowed as error:
            return web.Response(status=403, text=str(error))

    async def judge(request: web.Request) -> web.Response:
        try:
            return web.json_response(await tokens.validate(await request.text()))
        except TokenInvalid as error:
            return web.Response(status=401, text=error.reason)

    async def whoami(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("X-Auth-Subject", "nobody"))

    app = web.Application()
    app.add_routes(
        [
            web.get("/secret/{name}", secret),
            web.put("/secret/{name}", put),
            web.get("/heard", heard),
            web.get("/leak", leak),
            web.get("/token/{name}", token),
            web.post("/judge", judge),
            web.get("/whoami", whoami),
        ]
    )
    return app


ENDPOINTS = [
    *(Endpoint(path=path, methods=["*"]) for path in ("/secret/{name}", "/heard", "/leak", "/token/{name}", "/judge")),
    Endpoint(path="/whoami", methods=["GET"], auth="jwt"),
]

if __name__ == "__main__":
    program = ModuleProgram(build, "vault", secrets=("DB_PASSWORD",), options=ServeOptions(endpoints=ENDPOINTS))
    sys.exit(program.run())
