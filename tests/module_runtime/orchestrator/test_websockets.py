"""WebSockets through the gateway: real modules, a real client, and hostile ones on bare sockets."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, WSCloseCode, WSMsgType, WSServerHandshakeError

from sdk.module_runtime.orchestrator.lifecycle import State
from support.gateway_rig import gateway, socket_module

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse


MIB = 1 << 20


async def greeting(socket: ClientWebSocketResponse) -> dict[str, Any]:
    said: dict[str, Any] = await socket.receive_json(timeout=20)
    return said


async def ended(socket: ClientWebSocketResponse) -> tuple[int, str]:
    """The close that the client hears, after whatever else is on its way."""
    while True:
        message = await socket.receive(timeout=20)
        if message.type is WSMsgType.CLOSE:
            code, reason = int(message.data), str(message.extra)
            await socket.close(code=code)
            return code, reason
        assert message.type not in (WSMsgType.CLOSED, WSMsgType.ERROR), message


@pytest.fixture(params=["port", "socket"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    return socket_module() if request.param == "port" else socket_module(listen=str(tmp_path / "web.sock"))


async def test_messages_of_all_kinds_and_sizes_go_both_ways(way: dict[str, Any]) -> None:
    async with gateway(way) as rig, rig.client.ws_connect("/echo?x=%2F1", protocols=("v9", "v1.notes")) as socket:
        said = await greeting(socket)
        assert (said["protocol"], socket.protocol) == ("v1.notes", "v1.notes")
        assert said["headers"]["x-forwarded-for"] == "127.0.0.1"
        assert said["headers"]["sec-websocket-protocol"] == "v9,v1.notes"
        assert "x-auth-subject" not in said["headers"]
        answered = socket._response.headers
        assert answered["X-Module"] == "echo"
        assert answered["X-Request-Id"] == said["headers"]["x-request-id"]
        for data in (b"", b"\x00\xff", os.urandom(MIB)):
            await socket.send_bytes(data)
            assert await socket.receive_bytes(timeout=20) == data
        for text in ("", "wörld", "x" * 70_000):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=20) == text
        for number in range(200):  # on their way at once
            await socket.send_str(str(number))
        assert [await socket.receive_str(timeout=20) for _ in range(200)] == [str(number) for number in range(200)]


async def test_pings_and_pongs_reach_the_other_end() -> None:
    async with gateway() as rig, rig.client.ws_connect("/pings", autoping=False) as socket:
        first = await socket.receive(timeout=20)
        assert (first.type, bytes(first.data)) == (WSMsgType.PING, b"from the module")
        await socket.pong(b"answer")
        assert await socket.receive_str(timeout=20) == "PONG answer"
        await socket.ping(b"question")
        assert await socket.receive_str(timeout=20) == "PING question"
        last = await socket.receive(timeout=20)
        assert (last.type, bytes(last.data)) == (WSMsgType.PONG, b"question")


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1011, "oh"), (4321, "ä" * 30), (1013, "later")])
async def test_a_close_of_either_side_reaches_the_other_with_its_code_and_reason(code: int, reason: str) -> None:
    async with gateway() as rig:
        async with rig.client.ws_connect("/echo", autoclose=False) as socket:
            await greeting(socket)
            await socket.send_str(f"close {code} {reason}")
            assert await ended(socket) == (code, reason)
        async with rig.client.ws_connect("/echo") as socket:
            await greeting(socket)
            await socket.close(code=code, message=reason.encode())
            assert socket.close_code == code
        await rig.until_said(f"echo ended {code}")


async def test_a_client_that_vanishes_is_gone_for_the_module_too() -> None:
    async with gateway() as rig:
        socket = await rig.client.ws_connect("/echo")
        await greeting(socket)
        transport = socket._response.connection
        assert transport is not None
        assert transport.transport is not None
        transport.transport.abort()
        await rig.until_said(f"echo ended {WSCloseCode.GOING_AWAY}")
        await socket.close()


async def test_a_module_that_vanishes_is_said_to_be_gone_and_serves_again() -> None:
    async with gateway() as rig:
        async with rig.client.ws_connect("/echo", autoclose=False) as socket:
            await greeting(socket)
            instance = rig.seen.modules["web"].instance
            assert instance is not None
            await instance.process.kill()
            assert await ended(socket) == (WSCloseCode.BAD_GATEWAY, "the module broke off")
        await rig.seen.until("web", State.READY, times=2)
        async with rig.client.ws_connect("/echo") as socket:
            assert (await greeting(socket))["pid"] != instance.process.pid


async def test_a_module_that_is_replaced_lets_its_clients_go_and_the_new_one_takes_them(way: dict[str, Any]) -> None:
    async with gateway(way) as rig, rig.client.ws_connect("/echo", autoclose=False) as old:
        before = (await greeting(old))["pid"]
        replacing = asyncio.create_task(rig.seen.modules["web"].replace())
        assert await ended(old) == (WSCloseCode.GOING_AWAY, "the module is stopping")
        async with rig.client.ws_connect("/echo") as new:
            assert (await greeting(new))["pid"] != before
            await replacing  # and what the old one held is given back
            await new.send_str("still here")
            assert await new.receive_str(timeout=20) == "still here"
        assert rig.seen.modules["web"].state is State.READY


async def test_a_module_that_stops_without_a_close_is_said_to_stop_and_not_to_break_off() -> None:
    async with gateway() as rig, rig.client.ws_connect("/leave", autoclose=False) as socket:
        assert await socket.receive_str(timeout=20) == "here"
        restarting = asyncio.create_task(rig.seen.modules["web"].replace())
        assert await ended(socket) == (WSCloseCode.GOING_AWAY, "the module is stopping")
        await restarting


async def test_the_stop_tells_every_client_and_waits_for_none_that_does_not_read() -> None:
    async with ClientSession() as client:
        async with gateway(socket_module(stop_timeout=6)) as rig:
            url = f"http://127.0.0.1:{rig.port}"
            open_ = [await client.ws_connect(f"{url}/echo", autoclose=False) for _ in range(5)]
            for socket in open_:
                await greeting(socket)
            stuck = await client.ws_connect(f"{url}/pour")
            began = time.monotonic()
            telling = asyncio.gather(*map(ended, open_))
        assert await telling == [(WSCloseCode.GOING_AWAY, "the module is stopping")] * 5
        assert time.monotonic() - began < 15
        await stuck.close()


async def test_endpoints_with_auth_take_tokens_and_end_with_them() -> None:
    async with gateway() as rig:
        with pytest.raises(WSServerHandshakeError) as refused:
            await rig.client.ws_connect("/private")
        assert refused.value.status == 401
        assert refused.value.headers is not None
        assert refused.value.headers["WWW-Authenticate"] == "Bearer"
        forged = {"Authorization": "Bearer 3", "X-Auth-Subject": "root"}
        async with rig.client.ws_connect("/private", headers=forged, autoclose=False) as socket:
            assert (await greeting(socket))["headers"]["x-auth-subject"] == "alice by jwt"
            assert await ended(socket) == (WSCloseCode.POLICY_VIOLATION, "the token has expired")
        await rig.until_said(f"echo ended {WSCloseCode.POLICY_VIOLATION}")


async def test_a_modules_refusal_is_passed_on_and_a_redirect_not_followed() -> None:
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    handshake["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
    async with gateway() as rig:
        async with rig.client.get("/refuse?how=no", headers=handshake) as answer:
            assert (answer.status, await answer.json()) == (403, {"why": "not you"})
            assert answer.headers.getall("X-Request-Id")[0]
            assert answer.headers["X-Reason"] == "name"
        async with rig.client.get("/refuse?how=redirect", headers=handshake, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "http://192.0.2.1/elsewhere")
        async with rig.client.get("/refuse?how=fine", headers=handshake) as answer:
            assert (answer.status, (await answer.json())["code"]) == (502, "ERR_NOT_UPGRADED")
        async with rig.client.get("/nowhere", headers=handshake) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "ERR_NO_ENDPOINT")
        for spoiled in ("Sec-WebSocket-Key", "Sec-WebSocket-Version"):
            async with rig.client.get("/echo", headers={**handshake, spoiled: "12"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (400, "ERR_HANDSHAKE")
                assert answer.headers["Sec-WebSocket-Version"] == "13"
        async with rig.client.post("/both-ways", headers=handshake) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "ERR_HANDSHAKE")
        many = {"Sec-WebSocket-Protocol": ",".join(map(str, range(17)))}
        async with rig.client.get("/echo", headers=handshake | many) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "ERR_HANDSHAKE")
        h2c = {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "x"}
        async with rig.client.get("/hello", headers=h2c) as answer:
            assert answer.status == 200


async def test_a_module_reached_by_messages_alone_says_why_it_has_no_websocket_and_no_event_stream() -> None:
    async with gateway(socket_module("messages")) as rig:
        with pytest.raises(WSServerHandshakeError) as refused:
            await rig.client.ws_connect("/echo")
        assert refused.value.status == 501
        for _ in range(70):  # more than it would answer at a time
            async with rig.client.get("/events?pause=60") as answer:
                assert answer.status == 501
                assert "port" in await answer.text()
        async with rig.client.get("/hello") as answer:
            assert answer.status == 200


async def test_one_client_and_one_module_have_no_more_than_their_share() -> None:
    async with gateway(streams=3, streams_per_client=2) as rig:
        async with rig.client.ws_connect("/echo") as first, rig.client.ws_connect("/echo") as second:
            await greeting(first)
            await greeting(second)
            with pytest.raises(WSServerHandshakeError) as refused:
                await rig.client.ws_connect("/echo")
            assert refused.value.status == 429
            async with rig.client.get("/events?pause=1") as answer:
                assert (answer.status, (await answer.json())["code"]) == (429, "ERR_TOO_MANY_STREAMS")
            async with rig.client.get("/hello") as answer:
                assert answer.status == 200
        async with rig.client.ws_connect("/echo") as socket:
            await greeting(socket)
    async with gateway(streams=1) as rig, rig.client.ws_connect("/echo") as socket:
        await greeting(socket)
        with pytest.raises(WSServerHandshakeError) as refused:
            await rig.client.ws_connect("/echo")
        assert refused.value.status == 503


async def test_a_silent_connection_ends_and_pings_keep_one() -> None:
    async with gateway(idle=2) as rig, rig.client.ws_connect("/echo", autoclose=False) as socket:
        await greeting(socket)
        for _ in range(5):
            await asyncio.sleep(0.2)
            await socket.ping()
        assert await ended(socket) == (WSCloseCode.GOING_AWAY, "nothing was said for too long")


async def test_who_does_not_read_holds_up_nobody_but_who_writes_to_him() -> None:
    async with gateway() as rig:
        reader, writer = await upgraded(rig.port, "/pour")
        await rig.until_said("poured 1 MiB")
        poured = ""
        async with asyncio.timeout(60):
            while poured != rig.seen.text("web"):  # until it waits
                poured = rig.seen.text("web")
                await asyncio.sleep(2)
        assert "poured 64 MiB" not in poured
        async with rig.client.ws_connect("/echo") as socket:
            await greeting(socket)
            await socket.send_str("x")
            assert await socket.receive_str(timeout=20) == "x"
        writer.transport.abort()
        del reader

        deaf = await rig.client.ws_connect("/deaf")
        sending = asyncio.create_task(fill(deaf))
        await asyncio.sleep(2)
        assert not sending.done()
        sending.cancel()
        async with rig.client.get("/hello") as answer:
            assert answer.status == 200
        await deaf.close()


async def test_a_message_that_is_too_large_ends_its_connection() -> None:
    async with gateway(largest_message=1000) as rig:
        async with rig.client.ws_connect("/echo", autoclose=False) as socket:
            await socket.receive(timeout=20)  # the greeting may be too large itself
        async with rig.client.ws_connect("/pings", autoclose=False) as socket:
            await socket.send_str("x" * 1001)
            code, _ = await ended(socket)
            assert code == WSCloseCode.MESSAGE_TOO_BIG


async def upgraded(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which frames may be written that no library would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(bytes(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    return reader, writer


def close_code(answer: bytes) -> int | None:
    """Of the close frame at the end of what the server has sent."""
    at = answer.rfind(b"\x88")
    return int.from_bytes(answer[at + 2 : at + 4]) if at >= 0 and len(answer) >= at + 4 else None


MASK = b"\x00\x00\x00\x00"
FRAMES = {
    "reserved bits": (b"\xf1\x81" + MASK + b"x", 1002),
    "an opcode nobody knows": (b"\x83\x81" + MASK + b"x", 1002),
    "a long ping": (b"\x89\xfe\x01\x00" + MASK + b"x" * 256, 1002),
    "a fragmented ping": (b"\x09\x81" + MASK + b"x", 1002),
    "a message of 2^63 bytes": (b"\x82\xff\x7f" + b"\xff" * 7 + MASK, 1009),
    "continuation of nothing": (b"\x80\x81" + MASK + b"x", 1002),
    "a close of one byte": (b"\x88\x81" + MASK + b"x", 1002),
    "a close with a code that nobody may send": (b"\x88\x82" + MASK + b"\x03\xed", 1002),
    "text that is no UTF-8": (b"\x81\x82" + MASK + b"\xc3\x28", 1007),
}


@pytest.mark.parametrize(("frame", "code"), FRAMES.values(), ids=FRAMES)
async def test_frames_that_break_the_rules_end_their_connection_with_the_code_for_it(frame: bytes, code: int) -> None:
    async with gateway() as rig:
        reader, writer = await upgraded(rig.port, "/echo")
        writer.write(frame)
        async with asyncio.timeout(20):
            answer = await reader.read()
        assert close_code(answer) == code
        writer.close()
        await rig.until_said("echo ended")
        async with rig.client.ws_connect("/echo") as socket:
            await greeting(socket)


FLOODS = {"empty messages": b"\x81\x80" + MASK, "pings": b"\x89\x80" + MASK, "parts": b"\x00\x80" + MASK}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_waits_or_is_cut_off_and_others_are_served_meanwhile(kind: str) -> None:
    async with gateway(largest_message=MIB) as rig, rig.client.ws_connect("/echo") as bystander:
        await greeting(bystander)
        reader, writer = await upgraded(rig.port, "/echo")
        before = resident()
        if kind == "parts":  # of a message that never ends
            writer.write(b"\x01\x80" + MASK)
        flood = asyncio.create_task(pour_into(writer, FLOODS[kind] * 10_000))
        draining = asyncio.create_task(drain(reader))
        for _ in range(50):
            await bystander.send_str("x")
            assert await bystander.receive_str(timeout=20) == "x"
            await asyncio.sleep(0.02)
        if kind == "parts":
            await asyncio.wait_for(flood, 60)
        else:
            assert resident() - before < 64 * MIB
        writer.transport.abort()
        await asyncio.gather(flood, draining)


def resident() -> int:
    """Bytes of memory that this process, which is the gateway's too, has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def pour_into(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        while True:
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return


async def drain(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1 << 20):
            pass
    except ConnectionError:
        return


async def fill(socket: ClientWebSocketResponse) -> None:
    """More than is ever held for one who does not read."""
    for _ in range(1024):
        await socket.send_bytes(b"x" * 65_536)
