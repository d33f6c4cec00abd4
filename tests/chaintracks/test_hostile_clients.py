"""Clients that mean harm, over raw sockets: each is let go with a reason, costs bounded memory, and harms no other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.chaintracks.server import ServerOptions
from sdk.chaintracks.server.options import MAX_BODY
from sdk.chaintracks.server.websocket import BURST
from sdk.service.http_app import Limits, server
from support.header_rig import GENESIS, grown, many
from support.header_server import FREE, header_server
from support.memory import resident

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024


class Raw:
    """A socket that sends what it likes, and reads only when told to. Its buffers are small."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = host, int(port)
        self.socket = socket.socket()
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, buffer, 4096)
        self.socket.setblocking(False)

    async def connect(self) -> Raw:
        await asyncio.get_running_loop().sock_connect(self.socket, self._address)
        return self

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(10):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, most: int = 65536) -> bytes:
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(self.socket, most)

    async def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        parts = []
        with contextlib.suppress(ConnectionError):
            while part := await self.read():
                parts.append(part)
        return b"".join(parts)


OPEN: list[Raw] = []


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system would take some megabytes for a client that does not read before the service notices."""

    original = server.listen

    def listen(host: str, port: int) -> socket.socket:
        found = original(host, port)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        return found

    monkeypatch.setattr("sdk.service.http_app.server.listen", listen)


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    hang_up()


def hang_up() -> None:
    while OPEN:
        OPEN.pop().socket.close()


async def raw(url: str) -> Raw:
    OPEN.append(Raw(url))
    return await OPEN[-1].connect()


async def upgraded(url: str) -> Raw:
    """A WebSocket on which nothing is read but the answer to its handshake."""
    found = await raw(url)
    await found.send(
        b"GET /v2/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert (await found.read()).startswith(b"HTTP/1.1 101")
    return found


def frame(opcode: int, payload: bytes = b"", *, last: bool = True) -> bytes:
    """Masked with zeros, as a client must."""
    assert len(payload) < 126
    return bytes([opcode | (0x80 if last else 0), 0x80 | len(payload)]) + bytes(4) + payload


SUBSCRIBE = frame(1, b'{"op":"subscribe","topic":"headers"}')


async def status(url: str, path: str = "/getPresentHeight", **options: Any) -> int:
    async with aiohttp.ClientSession() as session, session.get(url + path, **options) as answer:
        return answer.status


async def told(url: str, figure: str, least: float, **labels: str) -> None:
    """Until the service's own figures say so."""
    line = f"{figure}{{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
    async with aiohttp.ClientSession() as session, asyncio.timeout(15):
        while True:
            async with session.get(f"{url}/metrics") as answer:
                found = [
                    float(each.split()[-1]) for each in (await answer.text()).splitlines() if each.startswith(line)
                ]
            if found and (found[0] >= least if least else found[0] == 0):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET /getChain HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /getChain\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /getChain HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /getChain HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"POST /addHeaderHex HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /addHeaderHex HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /addHeaderHex HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /addHeaderHex HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % at for at in range(1_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000,
    ],
    ids=[
        "tls", "version", "nul in path", "no colon", "nul in header", "negative length", "two lengths",
        "length and chunked", "bad chunk", "long path", "long header", "many headers", "endless headers",
    ],
)  # fmt: skip
async def test_malformed_requests_are_refused_and_nobody_else_notices(tmp_path: Path, garbage: bytes) -> None:
    async with header_server(tmp_path) as served:
        client = await raw(served.url)
        with contextlib.suppress(ConnectionError):
            await client.send(garbage)
        answer = await client.rest()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer[:200]
        assert await status(served.url) == 200
        assert served.service.chain.tip.height == 5


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_is_refused_before_it_is_read(tmp_path: Path, chunked: bool) -> None:
    async with header_server(tmp_path, limits=Limits(body=MAX_BODY, rate=0)) as served:
        client, before = await raw(served.url), resident()
        head = b"POST /addHeaderHex HTTP/1.1\r\nHost: x\r\n"
        await client.send(
            head + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: 1000000000\r\n\r\n")
        )
        answer = asyncio.create_task(client.read())
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2):
                while not answer.done():
                    await client.send(b"10000\r\n" + bytes(0x10000) + b"\r\n" if chunked else bytes(0x10000))
        assert (await answer).startswith(b"HTTP/1.1 413")
        assert resident() - before < 16


async def test_slow_loris_is_not_waited_for(tmp_path: Path) -> None:
    """Headers that never end, a body that never comes, and a second request that never ends."""
    limits = Limits(header_timeout=0.2, body_timeout=0.2, keepalive_timeout=0.2, rate=0)
    async with header_server(tmp_path, limits=limits) as served:
        first = await raw(served.url)
        await first.send(b"GET /getChain HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert await first.rest() == b""
        second = await raw(served.url)
        await second.send(b"POST /addHeaderHex HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert (await second.rest()).startswith(b"HTTP/1.1 408")
        third = await raw(served.url)
        await third.send(b"GET /getChain HTTP/1.1\r\nHost: x\r\n\r\nGET /getCh")
        assert (await third.rest()).count(b"HTTP/1.1 200") == 1


async def test_a_flood_of_requests_is_429_for_that_client_alone(tmp_path: Path) -> None:
    limits = Limits(rate=5, burst=20, trusted_proxies=1)
    async with header_server(tmp_path, limits=limits) as served, aiohttp.ClientSession() as session:
        seen: list[int] = []
        for _ in range(60):
            async with session.get(f"{served.url}/getChain", headers={"X-Forwarded-For": "9.9.9.9"}) as answer:
                seen.append(answer.status)
                assert answer.status == 200 or int(answer.headers["Retry-After"]) >= 1
        assert seen[:20] == [200] * 20
        assert seen.count(429) >= 30
        assert await status(served.url, headers={"X-Forwarded-For": "7.7.7.7"}) == 200
        assert await status(served.url, "/healthz", headers={"X-Forwarded-For": "9.9.9.9"}) == 200


async def test_requests_sent_ahead_without_reading_answers_wait_in_the_senders_socket(tmp_path: Path) -> None:
    async with header_server(tmp_path, limits=FREE) as served:
        clients, before = [await raw(served.url) for _ in range(4)], resident()
        ahead = b"GET /v2/tip/header HTTP/1.1\r\nHost: x\r\n\r\n" * 40_000
        pending = [asyncio.create_task(each.send(ahead)) for each in clients]
        _, stuck = await asyncio.wait(pending, timeout=1)
        assert len(stuck) == 4, "the server stops reading"
        assert await status(served.url) == 200
        assert resident() - before < 24
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize(
    ("limits", "limit", "clients", "stay"),
    [
        (Limits(write_timeout=0.3, rate=0), "slow_reader", 4, 0),
        (Limits(unread=MIB, rate=0), "unread", 8, 3),
    ],
    ids=["time", "space"],
)
async def test_who_asks_for_much_and_does_not_read_is_cut_off(
    tmp_path: Path, limits: Limits, limit: str, clients: int, stay: int
) -> None:
    """By time, and when what waits for all of them is too much."""
    async with header_server(tmp_path, headers=many(2_000), limits=limits) as served:
        asking = [await raw(served.url) for _ in range(clients)]
        before = resident()
        for each in asking:
            await each.send(b"GET /getHeaders?height=0&count=2000 HTTP/1.1\r\nHost: x\r\n\r\n")
        await told(served.url, "http_requests_refused_total", clients - stay, limit=limit)
        assert await status(served.url) == 200
        assert resident() - before < 40
        hang_up()


async def slow_reader(url: str, kind: str) -> Raw:
    """A subscriber that reads no more than what says that it is one."""
    if kind == "websocket":
        client = await upgraded(url)
        await client.send(SUBSCRIBE)
        assert b"subscribed" in await client.read()
    else:
        client = await raw(url)
        await client.send(b"GET /v2/reorg/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await client.read()
    return client


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_a_subscriber_that_never_reads_costs_little_and_is_let_go(tmp_path: Path, kind: str) -> None:
    """Others are told meanwhile. It has no queue of its own: what it missed is in the log."""
    async with header_server(tmp_path, start=70, options=ServerOptions(stall=0.3), limits=FREE) as served:
        for _ in range(20):
            await slow_reader(served.url, kind)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{served.url}/v2/ws") as reader:
            await reader.send_json({"op": "subscribe", "topic": "headers"})
            await reader.receive_json()
            before, letting_go = resident(), asyncio.create_task(stalled(served.url, 20))
            for salt in range(200):
                await served.reorganise(40, 41, salt=str(salt))
                told = await reader.receive_json(timeout=5)
                assert told["headers"][-1]["hash"] == served.headers[-1].hash()
                if letting_go.done():
                    break
            await letting_go
            assert resident() - before < 40


async def stalled(url: str, count: int) -> None:
    await told(url, "chaintracks_subscribers_dropped_total", count, reason="stall")


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_the_stop_does_not_wait_for_subscribers_that_never_read(tmp_path: Path, kind: str) -> None:
    async with header_server(tmp_path, start=70, options=ServerOptions(drain=0.2), limits=FREE) as served:
        for _ in range(3):
            await slow_reader(served.url, kind)
        for salt in range(30):
            await served.reorganise(40, 41, salt=str(salt))
        async with asyncio.timeout(3):
            await served.server.stop()


@pytest.mark.parametrize("flood", [frame(9, b"x" * 100), frame(10), frame(1, b"{}"), frame(2, b"\x00"), SUBSCRIBE])
async def test_a_flood_of_frames_of_any_kind_ends_the_subscription_with_a_reason(tmp_path: Path, flood: bytes) -> None:
    async with header_server(tmp_path, limits=FREE) as served:
        client = await upgraded(served.url)
        with contextlib.suppress(ConnectionError):
            await client.send(flood * (BURST + 20))
        assert b"too many messages" in await client.rest()
        await told(served.url, "chaintracks_subscribers_dropped_total", 1, reason="flood")
        await told(served.url, "chaintracks_subscribers", 0, kind="websocket")


async def test_a_flood_from_one_that_never_reads_ends_too(tmp_path: Path) -> None:
    async with header_server(tmp_path, options=ServerOptions(stall=0.2), limits=FREE) as served:
        client, before = await upgraded(served.url), resident()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2):
                while True:
                    await client.send(frame(9, b"x" * 125) * 1_000)
        await told(served.url, "chaintracks_subscribers", 0, kind="websocket")
        assert resident() - before < 16


async def test_a_flood_of_frames_that_never_become_a_message_ends_too(tmp_path: Path) -> None:
    """Empty continuations: the parser swallows them without a word to anybody."""
    async with header_server(tmp_path, limits=FREE) as served:
        client = await upgraded(served.url)
        await client.send(frame(1, last=False))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(15):
                while True:
                    await client.send(frame(0, last=False) * 1_000)
        await told(served.url, "chaintracks_subscribers_dropped_total", 1, reason="flood")
        await told(served.url, "http_requests_refused_total", 1, limit="flood")
        await told(served.url, "chaintracks_subscribers", 0, kind="websocket")


async def test_a_message_that_never_ends_is_bounded(tmp_path: Path) -> None:
    async with header_server(tmp_path, limits=FREE) as served:
        client, before = await upgraded(served.url), resident()
        with contextlib.suppress(ConnectionError):
            await client.send(frame(1, b"x" * 125, last=False))
            for _ in range(1_000):
                await client.send(frame(0, b"x" * 125, last=False))
        await told(served.url, "chaintracks_subscribers", 0, kind="websocket")
        assert resident() - before < 16


async def test_many_subscribers_of_one_client_are_refused_beyond_its_share(tmp_path: Path) -> None:
    async with header_server(tmp_path, options=ServerOptions(subscribers_per_client=5), limits=FREE) as served:
        clients = [await upgraded(served.url) for _ in range(5)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{served.url}/v2/ws"):
                pass
        assert refused.value.status == 429
        clients[0].socket.close()
        await told(served.url, "chaintracks_subscribers", 4, kind="websocket")
        clients[0] = await upgraded(served.url)


_TIP = grown([GENESIS], 5)[-1]
_GOOD: dict[str, Any] = {
    "version": 0x20000000,
    "previousHash": _TIP.hash(),
    "merkleRoot": "00" * 32,
    "time": _TIP.time + 600,
    "bits": 0x207FFFFF,
    "nonce": 0,
}
_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=70), st.just([])
)  # fmt: skip

_HEIGHTS: list[dict[str, Any]] = [
    {}, {"height": None}, {"height": -1}, {"height": 7}, {"height": 1e300}, {"height": "x"}, {"height": []},
]  # fmt: skip


@given(
    changes=st.dictionaries(st.sampled_from([*_GOOD, "hash"]), _ODD, min_size=1, max_size=3).filter(
        lambda given: any(type(value) is not int for value in given.values())
    ),
    height=st.sampled_from(_HEIGHTS),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_malformed_header_is_taken_or_fails_the_service(changes: dict[str, Any], height: dict[str, Any]) -> None:
    """Where the caller believes that it stands says nothing."""
    from sdk.chaintracks.server.v1 import _header_of
    from sdk.core.errors import ParseError

    assert len(_header_of(json.dumps(_GOOD | height).encode())) == 80
    with pytest.raises(ParseError):
        _header_of(json.dumps(_GOOD | changes | height).encode())
