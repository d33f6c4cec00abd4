"""HTTP in frames with the published crate ``pywatt_sdk``: its client asks us, and we ask its server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web

from sdk.module_runtime.channels.http_tcp_server import serving_frames
from sdk.module_runtime.module.http import serving
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.service.http_app import listen
from support.peers import Peer
from support.requirements import rust_peer
from support.running_stack import PATIENCE, running
from support.rust_rig import rust_module

if TYPE_CHECKING:
    from pathlib import Path

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


async def test_the_crates_server_registers_with_us_and_is_served_through_the_gateway(tmp_path: Path) -> None:
    """It can write an answer only when it hears something more, so each request is followed by one without effect."""
    board = Switchboard()
    tables: dict[str, Any] = {"registration": {"listen": "127.0.0.1:0", "http_over_tcp": True}, "gateway": {}}
    async with running({"own": rust_module(tmp_path / "record")}, board, **tables) as seen:
        await seen.until("own", State.READY)
        assert seen.orchestrator is not None
        assert seen.orchestrator.registrar is not None
        process = await asyncio.create_subprocess_exec(
            rust_peer("published"), "serve", "127.0.0.1", str(seen.orchestrator.registrar.port), "calc", stderr=-3
        )
        try:
            async with asyncio.timeout(PATIENCE):
                while not board.is_ready("calc"):  # noqa: ASYNC110 - a foreign process
                    await asyncio.sleep(0.02)
            async with ClientSession(board.api) as client:

                async def add(number: int) -> Any:
                    async with client.post(f"/add?n={number}", json=[number, 1]) as answer:
                        return await answer.json()

                async with client.get("/status") as answer:
                    assert (answer.status, await answer.json()) == (200, {"status": "success", "data": "well"})
                got = await asyncio.gather(*(add(number) for number in range(50)))
                assert got == [
                    {"status": "success", "data": {"sum": number + 1, "uri": f"/add?n={number}"}}
                    for number in range(50)
                ]
                process.kill()
                await process.wait()
                async with client.get("/status") as answer:
                    assert answer.status in (502, 503)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_the_crates_client_asks_a_module_through_the_gateway(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    endpoints = [{"path": "/items", "methods": ["POST"]}]
    module = rust_module(tmp_path / "record", endpoints=endpoints)
    async with running({"rust": module}, gateway={"http_tcp": f"127.0.0.1:{port}"}) as seen:
        await seen.until("rust", State.READY)
        with Peer.rust("published", "ask") as rust:
            asked: dict[str, Any] = {
                "address": f"127.0.0.1:{port}",
                "method": "POST",
                "uri": "/items?x=1",
                "body": "grüße",
            }
            answer = await asyncio.to_thread(rust.call, "ask", **asked)
            assert answer["status"] == 200
            told = {"method": "POST", "uri": "/items?x=1", "body": "grüße", "by": "rust"}
            assert json.loads(bytes(answer["body"])) == told
