"""Ports: asked for, lent, inherited and bound; never probed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ProtocolError
from sdk.module_runtime.orchestrator.port_leases import NoPort, PortLeases
from sdk.module_runtime.port_negotiation.errors import PortError, PortRefused, PortTimeout, PortUnavailable
from sdk.module_runtime.port_negotiation.inherited import inherited_sockets
from sdk.module_runtime.port_negotiation.listener import open_listener
from sdk.module_runtime.port_negotiation.negotiator import NegotiationSettings, PortNegotiator
from sdk.module_runtime.protocol.messages import ORCHESTRATOR_TO_MODULE, PortResponse
from sdk.service.http_app.server import listen
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.protocol.messages import PortRequest


class Asked:
    """A link to real leases, with a fault for each request that has one."""

    def __init__(self, *faults: Any, leases: PortLeases | None = None) -> None:
        self.faults, self.leases = list(faults), leases or PortLeases()
        self.requests: list[tuple[PortRequest, float]] = []
        self.slept: list[float] = []

    async def request_port(self, request: PortRequest, *, timeout: float) -> PortResponse:
        self.requests.append((request, timeout))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            answer: PortResponse = fault(request)
            return answer
        try:
            port = self.leases.lease("m", request.specific_port)
        except NoPort as error:
            return PortResponse(request_id=request.request_id, success=False, port=0, error_message=str(error))
        return PortResponse(request_id=request.request_id, success=True, port=port)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def negotiator(
    link: Asked, jitter: float = 1.0, now: Callable[[], float] = lambda: 0.0, **settings: Any
) -> PortNegotiator:
    return PortNegotiator(link, NegotiationSettings(**settings), sleep=link.sleep, jitter=lambda: jitter, clock=now)


SILENCE = LinkTimeout("a port")


async def test_silence_is_asked_again_with_longer_patience_and_pauses_and_the_same_wish() -> None:
    link = Asked(SILENCE, SILENCE)
    assert await negotiator(link).negotiate(21_500) == 21_500
    assert [request.specific_port for request, _ in link.requests] == [21_500] * 3
    assert len({request.request_id for request, _ in link.requests}) == 3
    assert [timeout for _, timeout in link.requests] == [3.0, 4.0, 5.0]
    assert link.slept == [0.1, 0.2]


@given(st.floats(0, 1), st.integers(1, 12))
async def test_pauses_double_up_to_a_limit_and_are_never_less_than_half(jitter: float, attempts: int) -> None:
    link = Asked(*[SILENCE] * attempts)
    with pytest.raises(PortTimeout):
        await negotiator(link, jitter, attempts=attempts, failures=100).negotiate()
    full = [min(0.1 * 2**n, 2.0) for n in range(attempts - 1)]
    assert len(link.slept) == attempts - 1
    assert all(each / 2 <= slept <= each for each, slept in zip(full, link.slept, strict=True))
    assert max(timeout for _, timeout in link.requests) <= 10.0


async def test_a_refusal_is_final_and_a_wrong_answer_is_none() -> None:
    cases: list[tuple[Callable[[PortRequest], PortResponse], int | None, str]] = [
        (
            lambda r: PortResponse(request_id=r.request_id, success=False, port=0, error_message="in use"),
            None,
            "in use",
        ),
        (lambda r: PortResponse(request_id=r.request_id, success=True, port=0), None, "port 0"),
        (lambda r: PortResponse(request_id=r.request_id, success=True, port=9), 8, "port 9"),
        (lambda _: PortResponse(request_id="zzz", success=True, port=50_000), None, "another request"),
    ]
    for answer, wanted, expected in cases:
        link = Asked(answer)
        with pytest.raises(PortRefused, match=expected):
            await negotiator(link).negotiate(wanted)
        assert len(link.requests) == 1


async def test_the_recorded_scenarios_end_as_they_should() -> None:
    cases = json.loads(vectors("module-runtime", "19_port_negotiation.json").read_text())["cases"]
    outcomes = {}
    for case in cases:
        line = json.dumps(case["response"]).encode()
        try:
            response: Any = ORCHESTRATOR_TO_MODULE.from_json(line)
        except ProtocolError:
            outcomes[case["scenario"]] = "not read"
            continue
        asked = PortNegotiator(Asked(lambda _, answer=response: answer), new_id=lambda: "p1")
        try:
            outcomes[case["scenario"]] = str(await asked.negotiate(case.get("request", {}).get("specific_port")))
        except PortError as error:
            outcomes[case["scenario"]] = type(error).__name__
    assert outcomes == {
        "success": "8080",
        "success with port 0": "PortRefused",
        "refused": "PortRefused",
        "wrong request_id": "PortRefused",
        "missing port member": "not read",
    }


async def test_after_five_failures_the_orchestrator_is_left_alone_then_asked_once() -> None:
    now = [0.0]
    link = Asked(*[SILENCE] * 6)
    asking = negotiator(link, now=lambda: now[0])
    with pytest.raises(PortTimeout):
        await asking.negotiate()
    with pytest.raises(PortUnavailable):
        await asking.negotiate()
    assert len(link.requests) == 5
    with pytest.raises(PortUnavailable, match="left alone"):
        await asking.negotiate()
    assert len(link.requests) == 5
    now[0] = 60.0
    with pytest.raises(PortError):
        await asking.negotiate()
    assert len(link.requests) == 6, "one probe, and no more after it failed"
    now[0] = 120.0
    assert await asking.negotiate() in range(21_000, 22_000)


async def test_a_lost_link_is_not_asked_again_and_a_cancelled_question_is_no_failure() -> None:
    link = Asked(LinkClosed("gone"))
    asking = negotiator(link, failures=2)
    with pytest.raises(PortUnavailable, match="gone"):
        await asking.negotiate()
    link.faults = [lambda _: (_ for _ in ()).throw(asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        await asking.negotiate()
    assert await asking.negotiate()


async def test_what_was_granted_is_answered_to_all_who_ask_until_it_is_given_up() -> None:
    link = Asked()
    asking = negotiator(link)
    ports = await asyncio.gather(*(asking.negotiate() for _ in range(5)))
    assert len(set(ports)) == 1
    assert len(link.requests) == 1
    asking.give_up(ports[0])
    assert await asking.negotiate() != ports[0]
    assert await asking.negotiate(21_900) == 21_900


async def test_a_listener_has_the_port_it_wants_or_any_that_is_free() -> None:
    found = await open_listener("127.0.0.1")
    with found.socket:
        assert found.source == "own"
        assert found.port > 0
        taken = await open_listener("127.0.0.1", found.port, fallback=range(25_000, 25_100))
        with taken.socket:
            assert taken.source == "fallback"
            assert taken.port in range(25_000, 25_100)


async def test_a_port_that_is_taken_is_replaced_by_one_that_is_lent_and_free() -> None:
    held = listen("127.0.0.1", 0)
    port = held.getsockname()[1]
    lent = range(port, port + 1)
    with held:
        link = Asked(leases=PortLeases(range(24_000, 24_100)))
        found = await open_listener("127.0.0.1", port, negotiator=negotiator(link), fallback=None)
        with found.socket:
            assert (found.source, found.port in range(24_000, 24_100)) == ("orchestrator", True)
        useless = Asked(leases=PortLeases(lent))
        with pytest.raises(PortUnavailable, match="taken by another program"):
            await open_listener("127.0.0.1", port, negotiator=negotiator(useless), fallback=None)
        found = await open_listener("127.0.0.1", port, negotiator=negotiator(Asked(LinkClosed("gone"))))
        with found.socket:
            assert found.source == "fallback"


async def test_trouble_that_another_port_does_not_cure_is_told_at_once() -> None:
    link = Asked()
    for host, port in (("203.0.113.7", 8080), ("127.0.0.1", 70_000), ("no such host", 1)):
        with pytest.raises(ConfigurationError):
            await open_listener(host, port, negotiator=negotiator(link))
    assert link.requests == []


async def test_many_who_want_one_port_each_get_another() -> None:
    first = await open_listener("127.0.0.1")
    ports = range(26_000, 26_020)
    others = await asyncio.gather(*(open_listener("127.0.0.1", first.port, fallback=ports) for _ in range(20)))
    assert len({each.port for each in others}) == 20
    with pytest.raises(PortUnavailable):
        await open_listener("127.0.0.1", first.port, fallback=ports)
    for each in (first, *others):
        each.socket.close()


_CHILD = """
import asyncio, os, sys
from sdk.module_runtime.port_negotiation.inherited import inherited_sockets
from sdk.module_runtime.port_negotiation.listener import open_listener
os.environ["LISTEN_PID"] = str(os.getpid())
given = inherited_sockets()
assert inherited_sockets() == {} and "LISTEN_FDS" not in os.environ
found = asyncio.run(open_listener("127.0.0.1", 1, inherited=given))
assert not os.get_inheritable(found.socket.fileno())
print(*given, found.source, found.port, flush=True)
found.socket.setblocking(True)
found.socket.accept()[0].sendall(b"served")
"""


def test_a_socket_opened_by_the_parent_is_served_and_no_connection_is_refused_meanwhile() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as early:
            child = subprocess.Popen(
                [sys.executable, "-c", _CHILD],
                preexec_fn=lambda: os.dup2(server.fileno(), 3),
                pass_fds=[3, server.fileno()],
                env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"},
                stdout=subprocess.PIPE,
                text=True,
            )
            output, _ = child.communicate(timeout=60)
            assert output.split() == ["http", "inherited", str(port)]
            assert early.recv(10) == b"served"


def test_what_was_not_passed_to_this_process_is_left_alone_and_nonsense_is_refused() -> None:
    assert inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}
    assert inherited_sockets({}) == {}
    own = str(os.getpid())
    for count in ("x", "-1", "1e3", "65", "9" * 5_000):
        with pytest.raises(ConfigurationError, match="LISTEN_FDS"):
            inherited_sockets({"LISTEN_PID": own, "LISTEN_FDS": count})
    assert inherited_sockets({"LISTEN_PID": own, "LISTEN_FDS": "0"}) == {}
