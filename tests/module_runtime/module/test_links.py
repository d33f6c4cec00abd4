"""Several ways to one orchestrator, over real sockets: which is taken, and what happens when it fails."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.exported import ExportedChannels
from sdk.module_runtime.channels.metrics import FRESH, LEAST
from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.channels.routing import CROWD, LONGEST_REST, REST, Conditions, Ranking
from sdk.module_runtime.channels.sockets import listen_tcp, listen_unix
from sdk.module_runtime.errors import LinkTimeout
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.messaging import Messaging
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.init import InitBlob, IpcChannel, TcpChannel
from sdk.module_runtime.protocol.messages import ORCHESTRATOR_TO_MODULE
from sdk.module_runtime.protocol.packed import decode_stream, encode
from sdk.module_runtime.protocol.streaming import StreamAck, StreamChunk
from sdk.service.metrics import create_registry, render

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.module_runtime.channels.preferences import ChannelKind
    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.streaming import Priority

BOTH: list[ChannelKind] = ["ipc", "tcp"]


class Orchestrator:
    """Answers operations with the way they came, unless that way is ``mute``; acknowledges chunks."""

    def __init__(self) -> None:
        self.mute: set[str] = set()
        self.streamed: list[str] = []
        self.channels: dict[str, Channel] = {}

    def accept(self, way: str) -> Channel:
        channel = Channel(lambda frame: self._take(frame, way))
        self.channels[way] = channel
        return channel

    def _take(self, frame: Frame, way: str) -> None:
        channel = self.channels[way]
        if frame.format is Format.BINARY:
            chunk = decode_stream(frame.payload)
            assert isinstance(chunk, StreamChunk)
            self.streamed.append(way)
            channel.send(
                *encode(StreamAck(stream_id=chunk.stream_id, sequence=chunk.sequence, success=True), packs=False)
            )
        elif way not in self.mute:
            channel.send(self.answer(json.loads(frame.payload)["content"], way))

    @staticmethod
    def answer(asked: dict[str, Any], way: str) -> bytes:
        if asked["op"] == "route_to_module":
            payload = {"data": list(json.dumps(way).encode()), "format": "Json"}
            routed = {"op": "routed_module_response", "source_module_id": asked["target_module_id"]}
            return json.dumps(routed | {"request_id": str(asked["request_id"]), "payload": payload}).encode()
        result = {"op": "service_operation_result", "success": True, "result": way}
        return json.dumps(result | {"operation_id": asked["operation_id"]}).encode()


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[tuple[Links, Orchestrator]]:
    orchestrator = Orchestrator()
    unix = await listen_unix(lambda: orchestrator.accept("ipc"), str(folder / "s"))
    tcp, port = await listen_tcp(lambda: orchestrator.accept("tcp"))

    async def send(message: Any) -> None:
        answer = json.loads(Orchestrator.answer(message.members(), "stdio"))
        stdio.receive(ORCHESTRATOR_TO_MODULE.from_value(answer))

    extensions = frozenset({"correlation", "hello"})
    stdio = Link(send, extensions)
    links = Links(stdio, Preferences(), over_channels=True)
    init = InitBlob(
        orchestrator_api="x",
        module_id="m",
        env={},
        listen="x",
        ipc_channel=IpcChannel(socket_path=str(folder / "s"), required=True),
        tcp_channel=TcpChannel(address=f"127.0.0.1:{port}", tls_enabled=False, required=True),
    )
    kept = []
    for kind in BOTH:
        channel = ModuleChannel(
            Target.of(kind, init), extensions, lambda *_: None, lambda: None, lambda *_: None, lambda *_: None
        )
        links.add(channel)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        kept.append(asyncio.create_task(channel.keep(opened)))
        await opened
    try:
        yield links, orchestrator
    finally:
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        unix.close()
        tcp.close()


async def way(links: Links, timeout: float = 20) -> str:
    return str(await links.operate("c", "Cache", "get", {}, timeout=timeout))


async def test_a_channel_that_is_silent_through_a_request_is_avoided(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        assert await way(links) == "ipc"
        orchestrator.mute.add("ipc")
        with pytest.raises(LinkTimeout):
            await way(links, 0.1)
        assert await way(links) == "tcp"
        orchestrator.mute.add("tcp")
        with pytest.raises(LinkTimeout):
            await way(links, 0.1)
        assert await way(links) == "stdio"


async def test_what_is_lost_is_left_out_at_once(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        orchestrator.channels["ipc"].abort("cut")
        while "ipc" in links.connected:  # noqa: ASYNC110 - some turns of this very loop
            await asyncio.sleep(0)
        assert await way(links) == "tcp"


@pytest.mark.parametrize(
    ("priority", "taken"), [("Normal", "tcp"), ("Low", "tcp"), ("High", "tcp"), ("Critical", "ipc")]
)
async def test_large_data_leaves_the_preferred_channel_to_requests_unless_it_is_critical(
    tmp_path: Path, priority: Priority, taken: str
) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        await links.stream(b"x" * 200_000, priority=priority)
        assert set(orchestrator.streamed) == {taken}


# --- what a question says of itself ---


async def ask(links: Links, size: int = 10, seconds: float | None = None, to: str = "other", **properties: Any) -> str:
    messages = Messaging()
    messages.links = links
    return str(await messages.ask(to, "/", "x" * size, timeout=seconds, properties=properties or None))


@pytest.mark.parametrize(
    ("properties", "size", "taken"),
    [
        ({}, 10, "ipc"),
        ({}, 5000, "tcp"),
        ({"priority": "critical"}, 5000, "ipc"),
        ({"priority": "high", "type": "real_time"}, 5000, "ipc"),
        ({"priority": "high"}, 5000, "tcp"),
        ({"priority": "bulk"}, 10, "tcp"),
        ({"type": "file_transfer"}, 10, "tcp"),
        ({"priority": "critical", "type": "file_transfer"}, 10, "ipc"),
        ({"priority": "urgent", "type": 7}, 10, "ipc"),
    ],
)
async def test_a_question_takes_the_channel_of_the_table_and_the_other_when_that_is_lost(
    tmp_path: Path, properties: dict[str, Any], size: int, taken: str
) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        assert [await ask(links, size, **properties) for _ in range(4)] == [taken] * 4
        other = {"ipc": "tcp", "tcp": "ipc"}[taken]
        orchestrator.channels[taken].abort("cut")
        while taken in links.connected:  # noqa: ASYNC110 - some turns of this very loop
            await asyncio.sleep(0)
        assert await ask(links, size, **properties) == other
        assert await way(links) == ("ipc" if taken == "tcp" else "tcp")


async def test_a_question_for_another_machine_goes_over_tcp(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, _):
        assert await ask(links, to="10.0.0.1:80") == "tcp"
        assert await ask(links, to="127.0.0.1:80") == "ipc"


async def test_services_keep_to_one_channel_whatever_their_size_because_their_order_counts(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, _):
        for size in (1, 5000, 2_000_000):
            assert await links.operate("c", "Cache", "get", "x" * size, timeout=20) == "ipc"


async def test_an_urgent_question_leaves_a_channel_that_has_become_slow_until_nobody_knows_any_more(
    tmp_path: Path,
) -> None:
    async with linked(tmp_path) as (links, _):
        now = asyncio.get_running_loop().time()
        ipc = links._channels["ipc"].metrics
        for _ in range(100):
            ipc.answer(0.02, now)
        assert await ask(links, priority="critical") == "tcp"
        assert await ask(links, priority="low") == "ipc"
        ipc._sampled_at = now - FRESH - 1
        assert await ask(links, priority="critical") == "ipc"


async def test_what_is_not_urgent_leaves_a_crowded_channel(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, _):
        links._channels["ipc"].metrics.in_flight += CROWD
        assert await ask(links, priority="normal") == "tcp"
        assert await ask(links, priority="critical") == "ipc"


async def test_a_question_is_asked_again_another_way_only_if_it_may_be(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        orchestrator.mute.add("ipc")
        with pytest.raises(LinkTimeout):
            await ask(links, seconds=0.1, priority="critical", retryable="yes")
        links._conditions.heard("ipc")
        assert await ask(links, seconds=0.1, priority="critical", retryable=True) == "tcp"
        assert links._conditions.rests("ipc", asyncio.get_running_loop().time())
        orchestrator.mute.add("tcp")
        links._conditions.heard("ipc")
        assert await ask(links, priority="critical", retryable=True, seconds=0.1) == "stdio"  # the third attempt


async def test_the_time_limit_of_a_question_may_stand_in_its_properties(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        orchestrator.mute.add("ipc")
        with pytest.raises(LinkTimeout, match=r"within 0\.05 seconds"):
            await ask(links, priority="critical", timeout=50)


@pytest.mark.parametrize(
    ("preferences", "properties", "taken"),
    [
        (Preferences.PREFER_TCP, {}, "tcp"),
        (Preferences.PREFER_TCP, {"priority": "critical"}, "ipc"),
        (Preferences(enable_fallback=False), {"priority": "bulk"}, "stdio"),
        (Preferences(enable_fallback=False), {"priority": "critical"}, "ipc"),
    ],
)
async def test_preferences_turn_the_rules_about_places_and_without_fallback_the_first_or_none_is_taken(
    tmp_path: Path, preferences: Preferences, properties: dict[str, Any], taken: str
) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        links._preferences = preferences
        orchestrator.channels["tcp"].abort("cut") if taken == "stdio" else None
        while taken == "stdio" and "tcp" in links.connected:  # noqa: ASYNC110 - some turns of this very loop
            await asyncio.sleep(0)
        assert await ask(links, **properties) == taken


async def test_what_a_channel_does_is_counted(tmp_path: Path) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        for _ in range(3):
            await way(links)
        orchestrator.mute.add("ipc")
        with pytest.raises(LinkTimeout):
            await way(links, 0.05)
        clock = asyncio.get_running_loop().time
        figures = links._channels["ipc"].metrics.figures(clock())
        peer = orchestrator.channels["ipc"].traffic
        assert (figures.answered, figures.failed, figures.in_flight, figures.connections) == (3, 1, 0, 1)
        assert (figures.messages_sent, figures.messages_received) == (peer.received, peer.sent) == (4, 3)
        assert (figures.bytes_sent, figures.bytes_received) == (peer.bytes_received, peer.bytes_sent)
        assert 0 < figures.latency.p50 <= figures.latency.max < 20
        registry = create_registry()
        registry.register(ExportedChannels(("channel",), links.metrics, clock))
        shown = render(registry).decode()
        assert 'runtime_channel_requests_total{channel="ipc",outcome="failed"} 1.0' in shown
        assert 'runtime_channel_messages_total{channel="ipc",direction="sent"} 4.0' in shown
        assert 'runtime_channel_objective_met{channel="ipc",objective="error_rate"} 0.0' in shown
        assert 'runtime_channel_availability{channel="tcp"} 1.0' in shown


async def test_an_alert_is_logged_once_in_its_interval(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with linked(tmp_path) as (links, _):
        now = asyncio.get_running_loop().time()
        for _ in range(LEAST):
            links._channels["tcp"].metrics.answer(0.6, now)
        watching = asyncio.create_task(links.watch(0.001))
        async with asyncio.timeout(20):
            while "channel_alert" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        watching.cancel()
        assert caplog.text.count("channel_alert") == 1


# --- the decision alone ---

EVENTS = st.lists(st.tuples(st.sampled_from(["silent", "heard", "wait"]), st.sampled_from(BOTH), st.floats(0, 400)))


@given(EVENTS, st.lists(st.sampled_from(BOTH), unique=True))
def test_every_open_channel_is_ranked_once_and_rests_no_longer_than_it_should(
    events: list[tuple[str, ChannelKind, float]], open_: list[ChannelKind]
) -> None:
    conditions, now = Conditions(), 0.0
    for what, kind, seconds in events:
        if what == "silent":
            conditions.silent(kind, now)
        elif what == "heard":
            conditions.heard(kind)
        else:
            now += seconds
    ranking = conditions.rank(open_, now)
    assert sorted(ranking.well + ranking.resting) == sorted(open_)
    assert not conditions.rank(open_, now + LONGEST_REST).resting


def test_each_silence_in_a_row_is_a_longer_rest_and_one_answer_ends_it() -> None:
    conditions = Conditions()
    conditions.silent("ipc", 0)
    conditions.silent("ipc", 1)  # a request that was on its way already
    assert conditions.rank(BOTH, REST - 1) == Ranking(("tcp",), ("ipc",))
    assert conditions.rank(BOTH, REST) == Ranking(("ipc", "tcp"), ())
    conditions.silent("ipc", REST)
    assert conditions.rank(BOTH, 3 * REST - 1) == Ranking(("tcp",), ("ipc",))
    conditions.heard("ipc")
    assert conditions.rank(BOTH, 3 * REST - 1) == Ranking(("ipc", "tcp"), ())
