"""The HTTP client against real sockets that misbehave."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ServiceRejected, ServiceUnavailable
from sdk.service import failpoints, http_client
from sdk.service.breaker import Breaker
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

POLICY = HttpPolicy(timeout=5, attempts=3, backoff=1.0, max_wait=20, breaker_threshold=100)


class Clock:
    """Time that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Server:
    """Answers the n-th request with the n-th of ``answers``, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, bytes]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, await request.read()))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        return await answer(request)


def status(code: int, body: Any = None, **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body if body is not None else {"code": code}, status=code, headers=headers)

    return answer


def raw(body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": content_type, **headers})

    return answer


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


@asynccontextmanager
async def talking_to(
    *answers: Answer, policy: HttpPolicy = POLICY, **options: Any
) -> AsyncIterator[tuple[HttpClient, Server, Clock]]:
    server, clock = Server(*answers), Clock()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    client = HttpClient(
        f"http://{host}:{port}",
        service="peer",
        policy=policy,
        clock=clock,
        sleep=clock.sleep,
        jitter=lambda: 1.0,
        wall_clock=lambda: 1_700_000_000.0,
        **options,
    )
    try:
        yield client, server, clock
    finally:
        await client.close()
        await runner.cleanup()


async def test_json_there_and_back() -> None:
    async with talking_to(raw(b'{"a": [1, "\xc3\xa4"]}')) as (client, server, _):
        assert await client.post_json("/x", {"b": 2}) == {"a": [1, "ä"]}
        assert server.requests == [("POST", b'{"b":2}')]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
async def test_transient_answers_are_tried_again_with_backoff(code: int) -> None:
    async with talking_to(status(code), status(code), status(200)) as (client, server, clock):
        assert await client.get_json("/x") == {"code": 200}
        assert len(server.requests) == 3
        assert clock.slept == [1.0, 2.0]


async def test_the_last_answer_counts() -> None:
    async with talking_to(status(503, {"detail": "tired"})) as (client, server, _):
        with pytest.raises(ServiceUnavailable, match="tired") as raised:
            await client.get_json("/x")
        assert raised.value.status == 503
        assert raised.value.retryable
        assert len(server.requests) == 3
        response = await client.request("GET", "/x", check=False)
        assert (response.status, response.json()) == (503, {"detail": "tired"})


async def test_only_idempotent_requests_are_sent_again() -> None:
    async with talking_to(status(503)) as (client, server, _):
        with pytest.raises(ServiceUnavailable):
            await client.post_json("/x", {})
        assert len(server.requests) == 1
        with pytest.raises(ServiceUnavailable):
            await client.post_json("/x", {}, idempotent=True)
        assert len(server.requests) == 4
    async with talking_to(hang_up) as (client, server, _):
        with pytest.raises(ServiceUnavailable, match="broke off"):
            await client.post_json("/x", {})
        assert len(server.requests) == 1


async def test_a_request_that_never_left_is_sent_again(unused_tcp_port: int) -> None:
    clock = Clock()
    async with HttpClient(
        f"http://127.0.0.1:{unused_tcp_port}", service="peer", policy=POLICY, clock=clock, sleep=clock.sleep
    ) as client:
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await client.post_json("/x", {})
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    ("code", "body", "reason"),
    [
        (400, {"detail": "bad tx"}, "bad tx"),
        (404, {"title": "Not found"}, "Not found"),
        (409, {"error": "conflict"}, "conflict"),
        (460, {"unrelated": 1}, '{"unrelated": 1}'),
    ],
)
async def test_a_refusal_is_told_once_with_its_reason(code: int, body: Any, reason: str) -> None:
    async with talking_to(status(code, body)) as (client, server, _):
        with pytest.raises(ServiceRejected) as raised:
            await client.get_json("/x")
        assert (raised.value.status, raised.value.detail) == (code, reason)
        assert len(server.requests) == 1


async def test_retry_after_is_honoured_in_both_forms() -> None:
    date = "Tue, 14 Nov 2023 22:13:27 GMT"  # 1_700_000_007
    async with talking_to(status(429, **{"Retry-After": "5"}), status(503, **{"Retry-After": date}), status(200)) as (
        client,
        _,
        clock,
    ):
        await client.get_json("/x")
        assert clock.slept == [5.0, 7.0]


@pytest.mark.parametrize("value", ["3600", "Fri, 14 Nov 2099 22:13:27 GMT"])
async def test_a_wait_beyond_patience_ends_the_attempts(value: str) -> None:
    async with talking_to(status(429, **{"Retry-After": value})) as (client, server, _):
        with pytest.raises(ServiceUnavailable):
            await client.get_json("/x")
        assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "-1", "", "9" * 500, "1.5", "Tue, 99 Nov 2023 22:13:27 GMT"])
async def test_a_nonsensical_retry_after_changes_nothing(value: str) -> None:
    async with talking_to(status(503, **{"Retry-After": value}), status(200)) as (client, _, clock):
        try:
            await client.get_json("/x")
            assert clock.slept == [1.0]
        except ServiceUnavailable:
            assert value.isdecimal()


async def test_silence_is_no_verdict() -> None:
    policy = replace(POLICY, timeout=0.1, attempts=2)
    async with talking_to(stall, policy=policy) as (client, server, _):
        with pytest.raises(ServiceUnavailable, match=r"did not answer within 0\.1 s"):
            await client.get_json("/x")
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (raw(b"<html>busy</html>", "text/html"), "answered text/html where JSON was expected: <html>busy</html>"),
        (raw(b"{", "application/json"), "broken JSON"),
        (raw(b"\xff\xfe", "application/json"), "broken JSON"),
        (raw(b"", "application/json"), "broken JSON"),
    ],
)
async def test_nonsense_is_no_verdict(answer: Answer, complaint: str) -> None:
    async with talking_to(answer) as (client, _, _):
        with pytest.raises(ServiceUnavailable, match=complaint):
            await client.get_json("/x")


async def test_an_answer_is_bounded_before_it_is_read() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    policy = replace(POLICY, max_response=1_000_000)
    for answer in (raw(b" " * 1_000_001), endless, raw(bomb, **{"Content-Encoding": "gzip"})):
        async with talking_to(answer, policy=policy) as (client, _, _):
            with pytest.raises(ServiceUnavailable, match="more than 1000000 bytes"):
                await client.get_json("/x")
    async with talking_to(raw(b"[1]")) as (client, _, _):
        with pytest.raises(ServiceUnavailable, match="more than 2 bytes"):
            await client.get_json("/x", max_response=2)


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("/again")


async def test_redirects_are_followed_only_as_far_as_allowed() -> None:
    async with talking_to(redirect, status(200)) as (client, server, _):
        with pytest.raises(ServiceUnavailable, match="redirects to /again"):
            await client.get_json("/x")
        assert len(server.requests) == 1
    async with talking_to(redirect, status(200), policy=replace(POLICY, max_redirects=2)) as (client, _, _):
        assert await client.get_json("/x") == {"code": 200}
    async with talking_to(redirect, policy=replace(POLICY, max_redirects=2)) as (client, _, _):
        with pytest.raises(ServiceUnavailable, match="in a circle"):
            await client.get_json("/x")


async def test_cookies_are_neither_kept_nor_sent() -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        response = web.json_response({})
        response.set_cookie("session", "abc")
        return response

    async with talking_to(answer) as (client, _, _):
        await client.get_json("/x")
        await client.get_json("/x")
    assert seen == [None, None]


async def test_the_breaker_spares_a_service_that_is_down() -> None:
    policy = replace(POLICY, attempts=1, breaker_threshold=3, breaker_rest=30)
    async with talking_to(status(500), status(500), status(500), status(200), policy=policy) as (client, server, clock):
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                await client.get_json("/x")
        with pytest.raises(
            ServiceUnavailable, match=r"left alone after 3 failures in a row, next attempt in 30\.0 s: HTTP 500"
        ):
            await client.get_json("/x")
        assert len(server.requests) == 3
        clock.now += 30
        assert await client.get_json("/x") == {"code": 200}
        assert client.breaker.state == "closed"


async def test_failpoints_stand_around_each_send(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []
    monkeypatch.setattr(failpoints, "active", True)
    monkeypatch.setattr(failpoints, "reach", reached.append)
    async with talking_to(status(503), status(200)) as (client, _, _):
        await client.get_json("/x")
    assert reached == ["http.before peer GET", "http.after peer GET"] * 2


async def test_a_closed_client_says_so() -> None:
    async with talking_to(status(200)) as (client, _, _):
        await client.close()
        with pytest.raises(ServiceUnavailable, match="closed"):
            await client.get_json("/x")


async def test_a_wrong_address_is_said() -> None:
    async with HttpClient("nonsense", service="peer", policy=POLICY) as client:
        with pytest.raises(ServiceUnavailable, match="no address"):
            await client.get_json("/x")


def test_the_policy_defaults_are_bounded() -> None:
    policy = HttpPolicy()
    assert policy.max_redirects == 0
    assert 0 < policy.timeout <= 60
    assert policy.max_response <= 64 * http_client.MIB


@given(
    st.lists(st.sampled_from(["ok", "fail", "cancel", "wait"]), max_size=60),
    st.floats(0, 1, exclude_max=True),
)
def test_the_breaker_follows_its_model(steps: list[str], jitter: float) -> None:
    now = 0.0
    breaker = Breaker("peer", threshold=3, first_rest=2, longest_rest=10, clock=lambda: now, jitter=lambda: jitter)
    failures, rests, until = 0, 0, None
    for step in steps:
        if step == "wait":
            now += 1.5
            continue
        if until is not None and now < until:
            with pytest.raises(ServiceUnavailable):
                breaker.enter()
            continue
        breaker.enter()
        if step == "ok":
            breaker.succeeded()
            failures, rests, until = 0, 0, None
        elif step == "fail":
            breaker.failed()
            failures += 1
            if failures >= 3:
                until = now + min(10, 2 * 2**rests) * (0.5 + 0.5 * jitter)
                rests += 1
        else:
            breaker.abandoned()
        assert (breaker.state == "closed") == (until is None)


def test_a_service_that_is_back_in_two_seconds_rests_no_longer() -> None:
    now = 0.0
    breaker = Breaker("peer", clock=lambda: now, jitter=lambda: 1.0)  # the longest rests there are
    for _ in range(5):
        breaker.enter()
        breaker.failed("connection refused")
    with pytest.raises(ServiceUnavailable, match=r"next attempt in 1\.0 s: connection refused"):
        breaker.enter()
    rests = []
    for _ in range(8):
        began = now
        while breaker.state == "open":
            now += 0.25
        rests.append(now - began)
        breaker.enter()
        breaker.failed("connection refused")
    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]


def test_calls_that_fail_together_cost_one_rest() -> None:
    now = 0.0
    breaker = Breaker("peer", threshold=3, clock=lambda: now, jitter=lambda: 1.0)
    for _ in range(64):
        breaker.enter()
    for _ in range(64):
        breaker.failed()
    now = 1.0
    breaker.enter()
    breaker.succeeded()
    assert breaker.state == "closed"


def test_only_one_probe_at_a_time() -> None:
    now = 0.0
    breaker = Breaker("peer", threshold=1, first_rest=10, clock=lambda: now)
    breaker.failed()
    now = 11.0
    breaker.enter()
    with pytest.raises(ServiceUnavailable):
        breaker.enter()
    breaker.succeeded()
    breaker.enter()
