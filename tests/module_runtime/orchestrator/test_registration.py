"""Modules that nobody started: registration, heartbeats, capabilities, and the channel that follows."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.tls import client_context
from sdk.module_runtime.orchestrator import registration
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.stack import parse_stack
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.init import SocketAddress
from sdk.service.http_app import create_app
from sdk.service.http_app import running as http_running
from support.certificates import certificates
from support.channel_peer import PATIENCE, Peer
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ssl import SSLContext

PROGRAM = Path(__file__).parent / "programs" / "scripted.py"
ANNOUNCE = {"send": {"op": "announce", "listen": "127.0.0.1:1", "endpoints": []}}
KEY = "a registration key nobody should see"


class Registry:
    """A running orchestrator that takes registrations."""

    def __init__(self, board: Switchboard, address: SocketAddress) -> None:
        self.board, self.address = board, address

    async def peer(self, ssl: SSLContext | None = None) -> Peer:
        return await Peer.at(self.address, ssl)


@asynccontextmanager
async def registry(folder: Path, key: str | None = None, **tables: Any) -> AsyncIterator[Registry]:
    command = [sys.executable, str(PROGRAM), json.dumps([ANNOUNCE]), str(folder / "record")]
    board = Switchboard()
    tables = {"registration": {"listen": "127.0.0.1:0"}, "gateway": {}, **tables}
    modules = {"own": {"kind": "module", "command": command}}
    async with running(modules, board, registration_key=key, **tables) as seen:
        await seen.until("own", State.READY)
        assert seen.orchestrator is not None
        registrar = seen.orchestrator.registrar
        assert registrar is not None
        yield Registry(board, SocketAddress("127.0.0.1", registrar.port))


async def ask(peer: Peer, request_type: str, **members: Any) -> dict[str, Any]:
    """Wrapped, as Rust sends it; the answer is bare."""
    peer.say(id=str(uuid4()), content={"request_type": request_type, **members}, metadata={"id": str(uuid4())})
    async with asyncio.timeout(PATIENCE):
        return await peer.heard.get()


def info(name: str = "calc", **metadata: str) -> dict[str, Any]:
    described = {"name": name, "version": "1.0.0", "description": "adds numbers"}
    return {**described, "metadata": metadata} if metadata else described


async def register(peer: Peer, name: str = "calc", **metadata: str) -> dict[str, Any]:
    answer = await ask(peer, "register", module_info=info(name, **metadata))
    assert answer["success"], answer
    return dict(answer["module"])


async def test_a_module_registers_is_served_through_the_gateway_and_unregisters(tmp_path: Path) -> None:
    async def add(request: web.Request) -> web.Response:
        return web.json_response({"sum": sum(await request.json())})

    app = create_app("calc", [web.post("/add", add)])
    async with http_running(app) as calc, registry(tmp_path) as r, ClientSession(r.board.api) as client:
        peer = await r.peer()
        module = await register(peer, address=f"127.0.0.1:{calc.port}")
        assert module["orchestrator_port"] == r.address.port
        proof = {"module_id": module["id"], "token": module["token"]}
        endpoints = [{"path": "/add", "methods": ["POST"], "metadata": {"a": "b"}}]
        assert (await ask(peer, "capabilities", **proof, capabilities={"endpoints": endpoints})) == {
            "response_type": "capabilities",
            "success": True,
        }
        async with client.post("/add", json=[1, 2]) as answer:
            assert await answer.json() == {"sum": 3}
        unwell = await ask(peer, "heartbeat", **proof, status="Unhealthy", details={"queue": "full"})
        assert (unwell["success"], unwell["status"]) == (True, "Unhealthy")
        async with client.post("/add", json=[1, 2]) as answer:
            assert answer.status == 503
        await ask(peer, "heartbeat", **proof, status="Healthy")
        async with client.post("/add", json=[4, 2]) as answer:
            assert await answer.json() == {"sum": 6}
        assert (await ask(peer, "unregister", **proof))["success"]
        assert not (await ask(peer, "heartbeat", **proof, status="Healthy"))["success"]
        async with client.post("/add", json=[1, 2]) as answer:
            assert answer.status in (404, 503)


async def test_what_is_wrong_is_refused_in_the_form_that_was_asked_in(tmp_path: Path) -> None:
    async with registry(tmp_path) as r:
        peer = await r.peer()
        module = await register(peer)
        taken = await ask(peer, "register", module_info=info())
        assert (taken["success"], taken["error"]) == (False, "name taken: calc")
        assert not (await ask(peer, "register", module_info=info("own")))["success"]
        assert not (await ask(peer, "register", module_info=info("x" * 64)))["success"]
        wrong = {"module_id": module["id"], "token": "wrong"}
        refused = await ask(peer, "heartbeat", **wrong, status="Healthy")
        assert (refused["success"], refused["status"]) == (False, "Unhealthy")
        assert not (await ask(peer, "capabilities", **wrong, capabilities={"endpoints": []}))["success"]
        assert not (await ask(peer, "unregister", **wrong))["success"]
        unknown = {"response_type": "unknown", "success": False, "error": "Unknown request type"}
        assert await ask(peer, "dance") == unknown
        assert not (await ask(peer, "heartbeat", status="Healthy"))["success"]
        peer.channel.send(b"no JSON")
        async with asyncio.timeout(PATIENCE):
            assert not (await peer.heard.get())["success"]
        assert (await ask(peer, "heartbeat", **{**wrong, "token": module["token"]}, status="Healthy"))["success"]


async def test_after_hello_a_registered_module_speaks_like_a_started_one(tmp_path: Path) -> None:
    async with registry(tmp_path) as r, ClientSession(r.board.api) as client:
        peer = await r.peer()
        module = await register(peer)
        assert "hello" in module["additional_data"]["extensions"]
        peer.say(op="hello", module_id="calc", auth_token=module["token"])
        peer.say(op="announce", listen="", endpoints=[{"path": "/calc", "methods": ["GET"]}])
        peer.say(op="port_request", request_id="p", specific_port=None)
        assert (await peer.hear("port_response"))["success"]
        assert r.board.is_ready("calc")
        asking = asyncio.create_task(client.get("/calc?x=1"))
        request = await peer.hear("http_request")
        assert request["uri"] == "/calc?x=1"
        peer.say(op="http_response", request_id=request["request_id"], status_code=200, headers={}, body=[52, 50])
        async with await asking as answer:
            assert await answer.read() == b"42"
        peer.channel.close()
        await peer.end()
        second = await r.peer()
        second.say(op="hello", module_id="calc", auth_token=module["token"])
        second.say(op="port_request", request_id="p", specific_port=None)
        assert (await second.hear("port_response"))["success"]


@pytest.mark.parametrize(
    "first",
    [
        {"op": "hello", "module_id": "calc", "auth_token": "wrong"},
        {"op": "hello", "module_id": "own", "auth_token": "wrong"},
        {"op": "get_secret", "name": "KEY"},
        {"op": "announce", "listen": "x", "endpoints": []},
    ],
)
async def test_nobody_speaks_for_a_module_without_its_token(tmp_path: Path, first: dict[str, Any]) -> None:
    async with registry(tmp_path) as r:
        await register(await r.peer())
        stranger = await r.peer()
        stranger.say(**first)
        await stranger.end()
        assert r.board.conversations["own"].channels == ["stdio"]


async def test_who_is_silent_is_left_out_and_may_register_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "HEARTBEAT", 0.02)
    monkeypatch.setattr(registration, "SILENT_AFTER", 0.1)
    async with registry(tmp_path) as r:
        peer = await r.peer()
        module = await register(peer)
        proof = {"module_id": module["id"], "token": module["token"]}
        await ask(peer, "capabilities", **proof, capabilities={"endpoints": []})
        async with asyncio.timeout(PATIENCE):
            while r.board.is_ready("calc"):  # noqa: ASYNC110 - silence has no event
                await asyncio.sleep(0.02)
        again = await register(peer)
        assert again["id"] != module["id"]
        assert not (await ask(peer, "heartbeat", **proof, status="Healthy"))["success"]


async def test_a_key_is_wanted_where_one_is_set_and_never_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {"secrets": {"key": "environment:NONE"}, "registration": {"listen": "127.0.0.1:0", "key": "REG"}}
    with caplog.at_level(logging.DEBUG, "sdk"):
        async with registry(tmp_path, KEY, **secrets) as r:
            peer = await r.peer()
            assert not (await ask(peer, "register", module_info=info()))["success"]
            assert not (await ask(peer, "register", module_info=info(registration_key="x")))["success"]
            module = await register(peer, registration_key=KEY, team="core")
            assert module["info"]["metadata"] == {"team": "core"}
    assert KEY not in caplog.text
    assert module["token"] not in caplog.text


async def test_registration_over_tls_is_that_or_nothing(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    ours = files["ours server"]
    tls = {"ca": ours.ca, "certificate": ours.certificate, "key": ours.key}
    async with registry(tmp_path, tls=tls) as r:
        await register(await r.peer(client_context(files["ours module"])))
        plain = await r.peer()
        plain.say(request_type="register", module_info=info("other"))
        await plain.end()


def test_registration_beyond_this_machine_needs_a_key_and_tls() -> None:
    modules = {"one": {"kind": "module", "command": ["x"]}}
    with pytest.raises(ConfigurationError, match=r"needs registration.key and \[tls\]"):
        parse_stack({"modules": modules, "registration": {"listen": "0.0.0.0:9900"}}, "test")


OWN_PORTS: dict[str, Any] = {"registration": {"listen": "127.0.0.1:0", "http_over_tcp": True}}


async def test_a_module_may_answer_over_a_port_of_its_own_and_nobody_takes_its_place(tmp_path: Path) -> None:
    async with registry(tmp_path, **OWN_PORTS) as r, ClientSession(r.board.api) as client:
        peer = await r.peer()
        module = await register(peer)
        own = SocketAddress("127.0.0.1", module["orchestrator_port"])
        assert own != r.address
        proof = {"module_id": module["id"], "token": module["token"]}
        endpoints = [{"path": "/calc", "methods": ["POST"]}]
        assert (await ask(peer, "capabilities", **proof, capabilities={"endpoints": endpoints}))["success"]
        async with client.post("/calc") as answer:
            assert answer.status == 502  # it is not there yet
        serving = await Peer.at(own)
        asking = asyncio.create_task(client.post("/calc?x=1", data=b"\x00"))
        async with asyncio.timeout(PATIENCE):
            request = (await serving.heard.get())["content"]
        assert (request["method"], request["uri"], request["body"]) == ("POST", "/calc?x=1", [0])
        stranger = await Peer.at(own)
        await stranger.end()
        content = {"request_id": request["request_id"], "status_code": 200, "headers": {}, "body": [52, 50]}
        serving.say(id=str(uuid4()), content=content)
        async with await asking as answer:
            assert await answer.read() == b"42"
        assert (await ask(peer, "unregister", **proof))["success"]
        await serving.end()


async def test_one_that_says_hello_has_no_use_for_its_own_port(tmp_path: Path) -> None:
    async with registry(tmp_path, **OWN_PORTS) as r:
        peer = await r.peer()
        module = await register(peer)
        own = await Peer.at(SocketAddress("127.0.0.1", module["orchestrator_port"]))
        peer.say(op="hello", module_id="calc", auth_token=module["token"])
        await own.end()
        peer.say(op="port_request", request_id="p", specific_port=None)
        assert (await peer.hear("port_response"))["success"]


def test_own_ports_are_for_this_machine_without_tls() -> None:
    modules = {"one": {"kind": "module", "command": ["x"]}}
    files = {"ca": "a", "certificate": "b", "key": "c"}
    with pytest.raises(ConfigurationError, match="for this machine"):
        parse_stack({"modules": modules, **OWN_PORTS, "tls": files}, "test")
