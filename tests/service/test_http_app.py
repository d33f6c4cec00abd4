"""The HTTP application: limits, errors, health, and a stop that drains; against real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import (
    ConfigurationError,
    InsufficientFunds,
    InternalError,
    InvalidParameter,
    ParseError,
    SdkError,
    ServiceRejected,
    ServiceUnavailable,
    StorageBusy,
    StorageUnavailable,
    Unauthorized,
)
from sdk.service.http_app import (
    SERVICE,
    ConnectionLog,
    InFlight,
    Limits,
    RateLimiter,
    create_app,
    listen,
    long_lived,
    running,
)
from sdk.service.http_app import server as http_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UNLIMITED = Limits(rate=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def raising(error: BaseException) -> web.RouteDef:
    async def handler(_request: web.Request) -> web.Response:
        raise error

    return web.get("/x", handler)


@pytest.mark.parametrize(
    ("error", "status", "code", "description"),
    [
        (InvalidParameter("outputs[2].satoshis", "positive"), 400, "WERR_INVALID_PARAMETER", "outputs[2].satoshis"),
        (ParseError("beef", "too short", 4), 400, "ERR_PARSE", "offset 4"),
        (InsufficientFunds(10, 5), 400, "WERR_INSUFFICIENT_FUNDS", "Insufficient"),
        (Unauthorized(), 401, "WERR_UNAUTHORIZED", "denied"),
        (StorageBusy("locked"), 503, "ERR_STORAGE_BUSY", "locked"),
        (ServiceUnavailable("arc", "down"), 503, "ERR_SERVICE_UNAVAILABLE", "down"),
        (ServiceRejected("arc", "no"), 502, "ERR_SERVICE_REJECTED", "no"),
        (StorageUnavailable("/secret/path"), 500, "ERR_STORAGE_UNAVAILABLE", "its log has the details"),
        (InternalError("secret"), 500, "WERR_INTERNAL", "its log has the details"),
        (SdkError("secret"), 500, "ERR_SDK", "its log has the details"),
        (ValueError("secret"), 500, "ERR_INTERNAL", "its log has the details"),
        (web.HTTPForbidden(text="not you"), 403, "ERR_FORBIDDEN", "not you"),
    ],
)
async def test_every_failure_has_one_form(
    session: aiohttp.ClientSession, error: BaseException, status: int, code: str, description: str
) -> None:
    async with running(create_app("t", [raising(error)], limits=UNLIMITED)) as server:
        async with session.get(f"{server.url}/x") as answer:
            body = await answer.json()
            assert answer.status == status
            assert body["status"] == "error"
            assert body["code"] == code
            assert description in body["description"]
            assert body["requestId"] == answer.headers["X-Request-Id"]
            assert "secret" not in json.dumps(body)
            assert ("Retry-After" in answer.headers) == (status == 503)
        async with session.get(f"{server.url}/none") as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "ERR_NOT_FOUND")
        async with session.post(f"{server.url}/x") as answer:
            assert (answer.status, (await answer.json())["code"]) == (405, "ERR_METHOD_NOT_ALLOWED")
            assert "GET" in answer.headers["Allow"]


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def test_bodies_are_bounded(session: aiohttp.ClientSession) -> None:
    limits = Limits(rate=0, body=1000, body_timeout=0.2)

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 100

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with running(create_app("t", [web.post("/echo", echo)], limits=limits)) as server:
        for body, status in (
            (b"x" * 1000, 200),
            (b"x" * 1001, 413),
            (chunks(10), 200),
            (chunks(11), 413),
            (slowly(), 408),
        ):
            async with session.post(f"{server.url}/echo", data=body) as answer:
                assert answer.status == status
                if status != 200:
                    assert (await answer.json())["status"] == "error"


async def test_request_ids_are_kept_if_sane(session: aiohttp.ClientSession) -> None:
    app = create_app("t", limits=UNLIMITED, request_id=lambda: "made-here")
    async with running(app) as server:
        for given_id, expected in (
            ("abc-1.2:3", "abc-1.2:3"),
            ("", "made-here"),
            ("x" * 65, "made-here"),
            ("a b", "made-here"),
        ):
            async with session.get(f"{server.url}/healthz", headers={"X-Request-Id": given_id}) as answer:
                assert answer.headers["X-Request-Id"] == expected


async def test_rate_limit_by_client_and_never_for_operations(session: aiohttp.ClientSession) -> None:
    now = 0.0
    app = create_app("t", [web.get("/x", echo)], limits=Limits(rate=2, burst=3), clock=lambda: now)
    async with running(app) as server:

        async def get(path: str = "/x") -> int:
            async with session.get(f"{server.url}{path}") as answer:
                if answer.status == 429:
                    assert (await answer.json())["code"] == "ERR_TOO_MANY_REQUESTS"
                    assert int(answer.headers["Retry-After"]) >= 1
                return answer.status

        assert [await get() for _ in range(5)] == [200, 200, 200, 429, 429]
        now = 1.0
        assert [await get() for _ in range(3)] == [200, 200, 429]
        for path in ("/healthz", "/readyz", "/metrics"):
            assert await get(path) == 200


async def test_forwarded_addresses_are_believed_only_from_our_proxies(session: aiohttp.ClientSession) -> None:
    for proxies, expected in ((0, [200, 429, 429]), (1, [200, 200, 429])):
        limits = Limits(rate=0.001, burst=1, trusted_proxies=proxies)
        async with running(create_app("t", [web.get("/x", echo)], limits=limits)) as server:
            found = []
            for address in ("10.0.0.1", "spoofed, 10.0.0.2", "other, 10.0.0.2"):
                async with session.get(f"{server.url}/x", headers={"X-Forwarded-For": address}) as answer:
                    found.append(answer.status)
            assert found == expected


async def test_requests_in_flight_are_bounded(session: aiohttp.ClientSession) -> None:
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        if request.query.get("long"):
            long_lived(request)
        entered.release()
        await leave.wait()
        return web.Response()

    limits = Limits(rate=0, in_flight=3, in_flight_per_client=2)
    async with running(create_app("t", [web.get("/x", wait)], limits=limits)) as server:

        async def get(query: str = "") -> int:
            async with session.get(f"{server.url}/x{query}") as answer:
                return answer.status

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(get(query)) for query in ("", "", "?long=1")]
            for _ in range(2):
                await entered.acquire()
            if not tasks[2].done():  # it may have come when both places were taken
                assert await get() == 503
            leave.set()
        assert sorted(task.result() for task in tasks)[:2] == [200, 200]
        assert await get() == 200


async def test_long_lived_requests_free_their_place(session: aiohttp.ClientSession) -> None:
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def subscribe(request: web.Request) -> web.Response:
        long_lived(request)
        entered.release()
        await leave.wait()
        return web.Response()

    limits = Limits(rate=0, in_flight=1, in_flight_per_client=1)
    app = create_app("t", [web.get("/x", subscribe)], limits=limits)
    async with running(app) as server, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(one(session, f"{server.url}/x"))
            await entered.acquire()
        leave.set()


async def one(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as answer:
        assert answer.status == 200


async def test_any_page_may_call_but_without_credentials(session: aiohttp.ClientSession) -> None:
    async with running(create_app("t", [web.post("/x", echo)], limits=UNLIMITED)) as server:
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type, x-bsv-auth-version",
        }
        async with session.options(f"{server.url}/x", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Access-Control-Allow-Headers"] == "content-type, x-bsv-auth-version"
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
        async with session.post(f"{server.url}/x", headers={"Origin": "https://app.example"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Access-Control-Expose-Headers"] == "*"
            for name in ("X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy"):
                assert name in answer.headers
            assert answer.headers["Server"] == "sdk"
            assert "Set-Cookie" not in answer.headers
    private = create_app("t", [web.post("/x", echo)], limits=UNLIMITED, cors=False)
    async with running(private) as server, session.post(f"{server.url}/x") as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_ready_means_able_to_serve(session: aiohttp.ClientSession) -> None:
    state: dict[str, Any] = {"reason": None}

    async def check() -> str | None:
        if isinstance(state["reason"], BaseException):
            raise state["reason"]
        found: str | None = state["reason"]
        return found

    async with running(create_app("t", checks={"database": check}, limits=UNLIMITED)) as server:
        cases: list[tuple[Any, int, Any]] = [
            (None, 200, {}),
            ("not migrated", 503, {"database": "not migrated"}),
            (StorageBusy("locked"), 503, {"database": "locked"}),
            (KeyError("secret"), 503, {"database": "the check failed: KeyError"}),
        ]
        for reason, status, reasons in cases:
            state["reason"] = reason
            async with session.get(f"{server.url}/readyz") as answer:
                assert (answer.status, (await answer.json())["reasons"]) == (status, reasons)
            async with session.get(f"{server.url}/healthz") as answer:
                assert answer.status == 200


async def test_metrics_count_by_route_pattern(session: aiohttp.ClientSession) -> None:
    async with running(create_app("t", [web.get("/item/{id}", echo)], limits=UNLIMITED)) as server:
        for number in range(20):
            async with session.get(f"{server.url}/item/{number}") as answer:
                assert answer.status == 200
            async with session.get(f"{server.url}/none/{number}"):
                pass
        async with session.get(f"{server.url}/metrics") as answer:
            text = await answer.text()
    assert 'http_requests_total{method="GET",route="/item/{id}",status="200"} 20.0' in text
    assert 'http_requests_total{method="GET",route="(none)",status="404"} 20.0' in text
    assert 'sdk_build_info{component="t"' in text
    assert "/item/7" not in text


async def test_two_applications_in_one_process_count_apart(session: aiohttp.ClientSession) -> None:
    async with (
        running(create_app("a", limits=UNLIMITED)) as one_server,
        running(create_app("b", limits=UNLIMITED)) as other,
    ):
        async with session.get(f"{one_server.url}/healthz"):
            pass
        async with session.get(f"{other.url}/metrics") as answer:
            assert 'route="/healthz"' not in await answer.text()


async def test_stop_drains_what_is_in_flight(session: aiohttp.ClientSession) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        entered.set()
        await leave.wait()
        return web.Response(text="done")

    async with asyncio.TaskGroup() as group:
        async with running(create_app("t", [web.get("/x", slow)], limits=UNLIMITED), drain=10) as server:

            async def get() -> str:
                async with session.get(f"{server.url}/x") as answer:
                    return await answer.text()

            task = group.create_task(get())
            await entered.wait()
            asyncio.get_running_loop().call_later(0.1, leave.set)
        assert task.done() or await task == "done"
        assert await task == "done"
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(f"{server.url}/healthz")


@pytest.mark.parametrize(("drain", "whole"), [(0.2, False), (10, True)], ids=["never reads", "reads late"])
async def test_stop_sends_what_is_on_its_way_until_the_drain_ends_and_then_drops_it(
    monkeypatch: pytest.MonkeyPatch, drain: float, whole: bool
) -> None:
    """However little it is: less than what makes a transport call itself full stays in it just as well."""
    size = 40_000
    original = http_server.listen

    def listen(host: str, port: int) -> socket.socket:
        found = original(host, port)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return found

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(size))

    async def rest() -> int:
        count = 0
        with contextlib.suppress(ConnectionError):
            while part := await loop.sock_recv(client, 65536):
                count += len(part)
        return count

    monkeypatch.setattr(http_server, "listen", listen)
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        async with asyncio.TaskGroup() as group, asyncio.timeout(8):
            async with running(create_app("t", [web.get("/x", answer)], limits=UNLIMITED), drain=drain) as server:
                await loop.sock_connect(client, (server.host, server.port))
                await loop.sock_sendall(client, b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert await loop.sock_recv(client, 12) == b"HTTP/1.1 200"
                if whole:
                    reading = group.create_task(rest())
            got = await reading if whole else await rest()
    assert (got >= size) is whole


@pytest.mark.parametrize("name", ["Authorization", "Origin", "Upgrade", "X-Request-Id", "If-None-Match", "X-Anything"])
async def test_a_header_that_is_not_text_is_refused_before_anything_looks_at_it(name: str) -> None:
    async with running(create_app("t", [web.get("/x", echo)], limits=UNLIMITED)) as server:
        request = f"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{name}: ".encode()
        answer = await closed_by_server(server.port, request + b"\xff\xfe\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
        assert f"the header {name} is not UTF-8".encode() in answer
        good = await closed_by_server(server.port, request + "ü\r\n\r\n".encode())
        assert b"is not UTF-8" not in good


@pytest.mark.parametrize("body", [b"Content-Length: 9\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{"])
async def test_stop_does_not_wait_for_a_body_that_it_no_longer_reads(body: bytes) -> None:
    app = create_app("t", [web.post("/x", echo)], limits=UNLIMITED)
    async with asyncio.timeout(8):
        async with running(app, drain=60) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\n" + body)
            while not app[SERVICE].arriving:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"the service is stopping" in answer


async def test_stop_ends_a_handler_that_goes_on_after_the_drain(session: aiohttp.ClientSession) -> None:
    """Once, not once for the answer and once more for the handler, as aiohttp would."""
    entered, ended = asyncio.Event(), asyncio.Event()

    async def endless(_request: web.Request) -> web.Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("waited for ever")

    loop = asyncio.get_running_loop()
    async with running(create_app("t", [web.get("/x", endless)], limits=UNLIMITED), drain=1.0) as server:
        asking = asyncio.ensure_future(session.get(f"{server.url}/x"))
        await entered.wait()
        began = loop.time()
    assert ended.is_set()
    assert 1.0 <= loop.time() - began < 1.9
    with pytest.raises(aiohttp.ClientError):
        await asking


async def closed_by_server(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_slow_headers_are_not_waited_for() -> None:
    limits = Limits(rate=0, header_timeout=0.2)
    async with running(create_app("t", limits=limits)) as server:
        assert await closed_by_server(server.port, b"") == b""
        assert await closed_by_server(server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""
        answer = await closed_by_server(server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")


async def test_connections_are_bounded() -> None:
    limits = Limits(rate=0, connections=3)
    async with running(create_app("t", limits=limits)) as server:
        kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        await asyncio.sleep(0.05)
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert await closed_by_server(server.port, request) == b""
        for _, writer in kept:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert (await closed_by_server(server.port, request)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 5000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 20_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
async def test_garbage_is_answered_with_400_or_silence(garbage: bytes) -> None:
    async with running(create_app("t", limits=UNLIMITED)) as server:
        answer = await closed_by_server(server.port, garbage)
        assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        healthy = await closed_by_server(server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert healthy.startswith(b"HTTP/1.1 200")


MALFORMED = {
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nno-colon\xff\r\n\r\n",
    "a chunk without a size": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "a chunk that is wrong after one that is right": (
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n"
    ),
    "a long line of control characters": b"GET /" + b"\x1b[31m\r" * 1000 + b" HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_is_a_short_line_and_no_traceback(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(create_app("t", [web.post("/x", echo)], limits=UNLIMITED)) as server:
        answers = [await closed_by_server(server.port, request_) for _ in range(50)]
    assert all(b" 400 " in answer.partition(b"\r\n")[0] for answer in answers)
    assert not [each for each in caplog.records if each.exc_info or each.levelno > logging.INFO]
    lines = [each.getMessage() for each in caplog.records]
    assert 1 <= len(lines) <= 20
    assert all(len(line) < 400 and line.isascii() and line.isprintable() for line in lines)


async def test_malformed_requests_beyond_the_rate_are_counted_in_the_next_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    said = ConnectionLog(lambda: now[0])
    for _ in range(1000):
        said.exception("Error handling request from %s", "192.0.2.1", exc_info=BadStatusLine("x" * 5000))
    now[0] += 60
    said.exception("Error handling request from %s", "192.0.2.1", exc_info=BadStatusLine("y"))
    assert len(caplog.records) == 11
    assert [vars(each)["unsaid"] for each in caplog.records] == [0] * 10 + [990]
    assert max(len(vars(each)["reason"]) for each in caplog.records) <= 160


async def test_a_fault_of_a_handler_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    runner = web.AppRunner(web.Application(), logger=ConnectionLog())
    runner.app.add_routes([raising(ZeroDivisionError("ours"))])
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        answer = await closed_by_server(port, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    finally:
        await runner.cleanup()
    assert b" 500 " in answer.partition(b"\r\n")[0]
    assert "ZeroDivisionError: ours" in caplog.text


async def test_a_taken_port_is_one_clear_line() -> None:
    async with running(create_app("t")) as server:
        with pytest.raises(ConfigurationError) as raised:
            async with running(create_app("u"), port=server.port):
                pass
    assert str(raised.value) == (
        f"port {server.port} on 127.0.0.1 is taken by another program: stop it, or choose another port"
    )


@pytest.mark.parametrize(
    ("host", "port", "complaint"),
    [
        ("no.such.host.invalid", 0, "no address"),
        ("192.0.2.1", 0, "not an address of this machine"),
        ("127.0.0.1", 70_000, "port"),
    ],
)
def test_what_cannot_be_listened_on_is_said(host: str, port: int, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        listen(host, port)


def test_listening_on_ipv6() -> None:
    if not socket.has_ipv6:
        return
    try:
        sock = listen("::1", 0)
    except ConfigurationError:
        return
    assert sock.family == socket.AF_INET6
    sock.close()


PROGRAM = """
import asyncio
from aiohttp import web
from sdk.service.http_app import create_app, serve
entered = asyncio.Event()

async def slow(request):
    entered.set()
    print("entered", flush=True)
    await asyncio.sleep(0.3)
    return web.Response(text="done")

app = create_app("t", [web.get("/slow", slow)])
asyncio.run(serve(app, "127.0.0.1", 0, ready=lambda server: print(server.url, flush=True)))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_stop_a_program_after_draining(session: aiohttp.ClientSession, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()

    async def get() -> str:
        async with session.get(f"{url}/slow") as answer:
            return await answer.text()

    task = asyncio.create_task(get())
    assert (await process.stdout.readline()).strip() == b"entered"
    process.send_signal(number)
    assert await task == "done"
    out, err = await process.communicate()
    assert (process.returncode, out.strip(), err) == (0, b"stopped", b"")


@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 2), st.sampled_from("abc")), max_size=80),
)
def test_no_key_gets_more_than_burst_plus_rate(rate: float, burst: int, steps: list[tuple[float, str]]) -> None:
    now = 0.0
    limiter = RateLimiter(rate, burst, clock=lambda: now)
    passed: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for pause, key in steps:
        now += pause
        wait = limiter.take(key)
        assert wait >= 0
        if wait == 0:
            passed[key].append(now)
    for times in passed.values():
        for start in range(len(times)):
            for end in range(start, len(times)):
                assert end - start + 1 <= burst + (times[end] - times[start]) * rate + 1e-6


@given(st.lists(st.text(max_size=3), max_size=300))
def test_the_memory_of_limits_is_bounded(keys: list[str]) -> None:
    limiter = RateLimiter(1, 1, keys=10, clock=lambda: 0.0)
    for key in keys:
        limiter.take(key)
    assert len(limiter) <= 10


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab")), max_size=80))
def test_in_flight_counts_and_forgets(steps: list[tuple[bool, str]]) -> None:
    limit = InFlight(4, 3)
    inside: list[str] = []
    for enters, key in steps:
        if enters:
            expected = len(inside) < 4 and inside.count(key) < 3
            assert limit.enter(key) == expected
            if expected:
                inside.append(key)
        elif key in inside:
            limit.leave(key)
            inside.remove(key)
    assert len(limit) == len(inside)
    for key in inside:
        limit.leave(key)
    assert limit._by_key == {}


@pytest.mark.parametrize("turns", range(5))
async def test_nobody_who_connects_in_the_moment_of_the_stop_waits_for_ever(turns: int) -> None:
    """However far their connection has come: CPython 3.11 forgets those it has accepted but not yet made."""
    async with running(create_app("late")) as server:
        clients = [socket.create_connection((server.host, server.port)) for _ in range(10)]
        for _ in range(turns):
            await asyncio.sleep(0)
    for each in clients:
        each.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.to_thread(each.recv, 1) == b""
        each.close()
