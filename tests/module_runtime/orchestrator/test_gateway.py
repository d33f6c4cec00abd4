"""HTTP through the gateway to real modules, over their own port, their own socket, and messages."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientError, ClientSession
from multidict import CIMultiDict

from sdk.module_runtime.orchestrator.gateway import Unauthorized
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

PROGRAM = Path(__file__).parent / "programs" / "web_module.py"
MIB = 1 << 20


def web_module(*arguments: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "module",
        "command": [sys.executable, str(PROGRAM), *arguments],
        "restart": {"first_delay": 0.5, "longest_delay": 0.5, "limit": 3},
        **more,
    }


class Doorman:
    async def authorize(self, auth: str, module_id: str, authorization: str | None) -> Mapping[str, str]:
        if authorization != "Bearer alice":
            raise Unauthorized("who are you?")
        return {"X-Auth-Subject": f"alice by {auth}"}


@asynccontextmanager
async def gateway(module: dict[str, Any], **options: Any) -> AsyncIterator[ClientSession]:
    board = Switchboard()
    settings = {"timeout": 5, "largest_body": 4 * MIB, **options}
    async with running({"web": module}, board, authorizer=Doorman(), gateway=settings) as seen:
        await seen.until("web", State.READY)
        async with ClientSession(board.api) as client:
            yield client


@pytest.fixture(params=["port", "socket", "messages"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    return {
        "port": web_module(),
        "socket": web_module(listen=str(tmp_path / "web.sock")),
        "messages": web_module("messages"),
    }[request.param]


async def test_requests_reach_the_module_and_answers_the_client_whatever_the_way(way: dict[str, Any]) -> None:
    async with gateway(way) as client:
        async with client.get("/hello/w%C3%B6rld?x=1") as answer:
            assert answer.status == 200
            assert (await answer.json())["name"] == "wörld"
        body = os.urandom(MIB)
        async with client.post("/echo", data=body) as answer:
            assert await answer.read() == body
        async with client.get("/stream?chunks=0") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with client.head("/hello/x") as answer:
            assert answer.status == 200
            assert answer.headers.get("Content-Length") != "0"  # as long as for GET, or unknown
            assert await answer.read() == b""
        async with client.get("/stream?chunks=20") as answer:
            assert len(await answer.read()) == 20 * 65_536


async def test_what_nobody_serves_is_said_in_json(way: dict[str, Any]) -> None:
    async with gateway(way) as client:
        for path, status, code in (
            ("/nowhere", 404, "ERR_NO_ENDPOINT"),
            ("/no-slash", 404, "ERR_NO_ENDPOINT"),
            ("/echo", 405, "ERR_METHOD"),
        ):
            async with client.get(path) as answer:
                error = await answer.json()
                assert (answer.status, error["code"]) == (status, code)
                assert error["requestId"] == answer.headers["X-Request-Id"]
        async with client.post("/echo", data=io.BytesIO(b"x" * (5 * MIB))) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "ERR_BODY_TOO_LARGE")

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(80):
                yield b"x" * 65_536

        try:
            async with client.post("/echo", data=endless()) as answer:
                assert (answer.status, (await answer.json())["code"]) == (413, "ERR_BODY_TOO_LARGE")
        except ClientError:  # it may close before the client has sent everything
            pass


async def test_a_client_cannot_say_what_only_the_gateway_knows() -> None:
    forged = {
        "X-Forwarded-For": "9.9.9.9",
        "X-Auth-Subject": "root",
        "Forwarded": "for=9.9.9.9",
        "Connection": "keep-alive, X-Private",
        "X-Private": "1",
        "Proxy-Authorization": "Basic eA==",
        "X-Public": "yes",
        "X-Request-Id": "mine-1",
    }
    async with gateway(web_module()) as client, client.get("/hello/x", headers=forged) as answer:
        heard = {name.lower(): value for name, value in (await answer.json())["headers"].items()}
        assert answer.headers["X-Request-Id"] == "mine-1"
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert heard["x-public"] == "yes"
    assert heard["x-request-id"] == "mine-1"
    assert not {"x-auth-subject", "forwarded", "x-private", "proxy-authorization"} & set(heard)


async def test_a_header_that_is_no_text_goes_no_further() -> None:
    async with gateway(web_module()) as client:
        async with client.get("/hello/x") as answer:
            reader, writer = await asyncio.open_connection(answer.url.host, answer.url.port)
        writer.write(b"GET /hello/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Name: \xff\r\n\r\n")
        refused = await reader.read()
        writer.close()
    assert refused.startswith(b"HTTP/1.1 400")
    assert b"ERR_HEADER" in refused
    assert b"X-Name is not UTF-8" in refused


async def test_an_endpoint_with_auth_is_served_to_those_who_are_known() -> None:
    async with gateway(web_module()) as client:
        async with client.get("/secret") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        headers = {"Authorization": "Bearer alice", "X-Auth-Subject": "root"}
        async with client.get("/secret", headers=headers) as answer:
            assert await answer.json() == {"subject": "alice by jwt"}
        twice = CIMultiDict([("Authorization", "Bearer alice"), ("Authorization", "Bearer bob")])
        async with client.get("/secret", headers=twice) as answer:
            assert answer.status == 400


async def test_without_an_authorizer_an_endpoint_with_auth_is_closed() -> None:
    board = Switchboard()
    async with running({"web": web_module()}, board, gateway={}) as seen:
        await seen.until("web", State.READY)
        async with ClientSession(board.api) as client, client.get("/secret") as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "ERR_NO_AUTHORIZER")


async def test_a_module_that_does_not_answer_is_504_and_one_that_dies_502_then_503(way: dict[str, Any]) -> None:
    async with gateway(way, timeout=0.3) as client:
        async with client.get("/slow") as answer:
            assert (answer.status, (await answer.json())["code"]) == (504, "ERR_MODULE_TIMEOUT")
        async with client.get("/die") as answer:
            assert (answer.status, (await answer.json())["code"]) == (502, "ERR_MODULE_UNREACHABLE")
        async with client.get("/hello/x") as answer:
            assert answer.status in (502, 503)
            assert answer.headers.get("Retry-After") == ("1" if answer.status == 503 else None)


async def test_a_broken_answer_is_not_taken_for_a_whole_one() -> None:
    async with gateway(web_module()) as client:
        with pytest.raises(ClientError):
            async with client.get("/stream?chunks=20&break=1") as answer:
                await answer.read()


async def test_a_module_that_hangs_takes_no_more_than_its_share() -> None:
    board = Switchboard()
    settings = {"in_flight": 1, "timeout": 600}
    async with running({"web": web_module(stop_timeout=0.5)}, board, gateway=settings) as seen:
        await seen.until("web", State.READY)
        async with ClientSession(board.api) as client:
            hanging = asyncio.create_task(client.get("/slow"))
            await seen.until_true(lambda: "slow begins" in seen.text("web"))
            async with client.get("/hello/x") as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "ERR_MODULE_BUSY")
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)


async def test_no_request_is_lost_while_a_module_is_replaced(way: dict[str, Any]) -> None:
    board = Switchboard()
    async with running({"web": way}, board, gateway={}) as seen:
        await seen.until("web", State.READY)
        statuses, pids = set(), set()

        async def ask(client: ClientSession, until: asyncio.Task[None]) -> None:
            while not until.done():
                async with client.get("/hello/x") as answer:
                    statuses.add(answer.status)
                    pids.add((await answer.json())["pid"])

        async with ClientSession(board.api) as client:
            replacing = asyncio.create_task(seen.modules["web"].replace())
            await asyncio.gather(*(ask(client, replacing) for _ in range(4)))
            await replacing
    assert statuses == {200}
    assert len(pids) == 2


async def test_a_module_is_told_where_another_serves_and_that_one_comes_back_to_the_same_place() -> None:
    board = Switchboard()
    asking = web_module(after=["web"], environment={"OTHER": "${web.url}/hello/x"})
    async with running({"web": web_module(), "asking": asking}, board, gateway={}) as seen:
        await seen.until("asking", State.READY)
        instance = seen.modules["asking"].instance
        assert instance is not None
        url = instance.setting.module.environment["OTHER"]
        web = seen.modules["web"].instance
        assert web is not None
        async with ClientSession() as client:
            async with client.get(url) as answer:
                assert (await answer.json())["pid"] == web.process.pid
            await web.process.kill()
            await seen.until("web", State.READY, times=2)
            async with client.get(url) as answer:
                assert (await answer.json())["pid"] != web.process.pid


async def test_an_upload_may_take_longer_than_a_pause_in_it() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"x"
            await asyncio.sleep(0.2)

    async with gateway(web_module(), timeout=0.7) as client, client.post("/echo", data=slowly()) as answer:
        assert (answer.status, await answer.read()) == (200, b"xxxxxx")


async def test_an_answer_in_messages_that_http_cannot_carry_is_the_modules_fault(tmp_path: Path) -> None:
    announce = {"op": "announce", "listen": "", "endpoints": [{"path": "/x", "methods": ["GET"]}]}
    answers = [
        {"status_code": 200, "headers": {"X-A": "a\r\nSet-Cookie: b"}},
        {"status_code": 200, "headers": {"X A": "a"}},
        {"status_code": 100, "headers": {}},
        {"status_code": 200, "headers": {"X-A": "fine"}},
    ]
    steps: list[dict[str, Any]] = [{"send": announce}]
    for number, each in enumerate(answers, 1):
        sent = {"op": "http_response", "request_id": f"bad-{number}", "body": [111, 107], **each}
        steps += [{"wait": "http_request"}, {"send": sent}]
    program = PROGRAM.with_name("scripted.py")
    bad = {"kind": "module", "command": [sys.executable, str(program), json.dumps(steps), str(tmp_path / "record")]}
    board = Switchboard()
    async with running({"bad": bad}, board, gateway={}) as seen:
        await seen.until("bad", State.READY)
        async with ClientSession(board.api) as client:
            for _ in range(3):
                async with client.get("/x") as answer:
                    assert (answer.status, (await answer.json())["code"]) == (502, "ERR_MODULE_UNREACHABLE")
                    assert "Set-Cookie" not in answer.headers
            async with client.get("/x") as answer:
                assert (answer.status, await answer.read(), answer.headers["X-A"]) == (200, b"ok", "fine")
