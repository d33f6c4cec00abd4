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
from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.channels.routing import LONGEST_REST, REST, Conditions, Ranking
from sdk.module_runtime.channels.sockets import listen_tcp, listen_unix
from sdk.module_runtime.errors import LinkTimeout
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.init import InitBlob, IpcChannel, TcpChannel
from sdk.module_runtime.protocol.messages import ORCHESTRATOR_TO_MODULE
from sdk.module_runtime.protocol.packed import decode_stream, encode
from sdk.module_runtime.protocol.streaming import StreamAck, StreamChunk

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
    ("priority", "taken"), [("Normal", "tcp"), ("Low", "tcp"), ("High", "ipc"), ("Critical", "ipc")]
)
async def test_large_data_leaves_the_preferred_channel_to_requests_unless_it_is_urgent(
    tmp_path: Path, priority: Priority, taken: str
) -> None:
    async with linked(tmp_path) as (links, orchestrator):
        await links.stream(b"x" * 200_000, priority=priority)
        assert set(orchestrator.streamed) == {taken}


# --- the decision alone ---

EVENTS = st.lists(st.tuples(st.sampled_from(["silent", "heard", "wait"]), st.sampled_from(BOTH), st.floats(0, 400)))


@given(EVENTS, st.lists(st.sampled_from(BOTH), unique=True), st.booleans())
def test_every_open_channel_is_ranked_once_and_rests_no_longer_than_it_should(
    events: list[tuple[str, ChannelKind, float]], open_: list[ChannelKind], is_bulk: bool
) -> None:
    conditions, now = Conditions(), 0.0
    for what, kind, seconds in events:
        if what == "silent":
            conditions.silent(kind, now)
        elif what == "heard":
            conditions.heard(kind)
        else:
            now += seconds
    ranking = conditions.rank(open_, now, is_bulk=is_bulk)
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
    assert conditions.rank(BOTH, 0, is_bulk=True) == Ranking(("tcp", "ipc"), ())
