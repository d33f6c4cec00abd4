"""HTTP in frames with the published crate ``pywatt_sdk``: its client asks us, and we ask its server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from sdk.module_runtime.module.http import serving
from sdk.module_runtime.module.http_tcp import serving_frames
from support.peers import Peer

pytestmark = pytest.mark.timeout(60)


async def test_the_crates_client_is_answered_by_our_application() -> None:
    async def add(request: web.Request) -> web.Response:
        mark = request.headers.get("X-By")
        return web.json_response({"sum": sum(await request.json()), "query": dict(request.query), "by": mark})

    app = web.Application()
    app.router.add_post("/add", add)
    async with (
        serving(app, None, drain=1) as http,
        serving_frames(http, "127.0.0.1:0", asyncio.Event(), {}) as server,
    ):
        with Peer.rust("published", "ask") as rust:

            async def ask(method: str, uri: str, **more: Any) -> dict[str, Any]:
                found: dict[str, Any] = await asyncio.to_thread(
                    rust.call, "ask", address=server.address, method=method, uri=uri, **more
                )
                return found

            answer = await ask("POST", "/add", body="[1, 2, 39]", query={"a": "1"})
            assert answer["status"] == 200
            assert json.loads(bytes(answer["body"])) == {"sum": 42, "query": {"a": "1"}, "by": "rust"}
            assert answer["headers"]["Content-Type"].startswith("application/json")
            assert (await ask("GET", "/nowhere"))["status"] == 404
            assert (await ask("POST", "/add", body="no"))["status"] == 500
            assert (await ask("GET", "no path"))["status"] == 400
            assert len(server._peers) == 1
