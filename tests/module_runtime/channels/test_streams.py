"""Streams between two ends whose connection loses, repeats and spoils chunks."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.channels.streams import StreamFailed, Streams
from sdk.module_runtime.errors import LinkClosed, ProtocolError
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.streaming import Duration, StreamConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sdk.module_runtime.channels.streams import IncomingStream

pytestmark = pytest.mark.timeout(60)
QUICK = StreamConfig(max_chunk_size=10, window_size=4, ack_timeout=Duration(secs=0, nanos=20_000_000), max_retries=30)


class Ends:
    """``spoil(payload)`` answers what arrives of a frame: any number of times, changed or not."""

    def __init__(self, config: StreamConfig, spoil: Callable[[bytes], list[bytes]] = lambda payload: [payload]) -> None:
        self.streams: asyncio.Queue[IncomingStream] = asyncio.Queue()
        self.largest_window = 0
        self._spoil = spoil
        self.a = Streams(lambda payload, format_: self._carry("b", payload, format_), None, config)
        self.b = Streams(lambda payload, format_: self._carry("a", payload, format_), self.streams.put_nowait, config)

    def _carry(self, to: str, payload: bytes, format_: Format) -> None:
        assert format_ is Format.BINARY
        end = self.a if to == "a" else self.b
        for each in self._spoil(payload):
            asyncio.get_running_loop().call_soon(end.take, each)


async def sent(ends: Ends, data: bytes) -> bytes:
    sending = asyncio.create_task(ends.a.send(data, content_type="text/plain"))
    stream = await ends.streams.get()
    received = await stream.read(1 << 20)
    await sending
    assert stream.metadata is not None
    assert stream.metadata.content_type == "text/plain"
    return received


@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=300), seed=st.integers(0, 2**32))
def test_what_arrives_is_what_was_sent_whatever_is_lost_repeated_or_spoiled(data: bytes, seed: int) -> None:
    chance = random.Random(seed)

    def spoil(payload: bytes) -> list[bytes]:
        if chance.random() < 0.2:
            return []
        if chance.random() < 0.1 and b'"checksum"' in payload:
            return [json.dumps(json.loads(payload) | {"checksum": 4_000_000_000}).encode()]
        return [payload] * chance.choice([1, 1, 2])

    assert asyncio.run(sent(Ends(QUICK, spoil), data)) == data


async def test_nothing_is_a_stream_too() -> None:
    assert await sent(Ends(QUICK), b"") == b""


async def test_data_that_comes_bit_by_bit_is_sent_as_it_comes() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(20):
            yield bytes([number]) * number

    ends = Ends(QUICK)
    sending = asyncio.create_task(ends.a.send(pieces()))
    assert await (await ends.streams.get()).read(1000) == b"".join(bytes([n]) * n for n in range(20))
    await sending


async def test_a_reader_that_does_not_read_holds_the_sender_back() -> None:
    seen: set[int] = set()

    def watch(payload: bytes) -> list[bytes]:
        document = json.loads(payload)
        if "data" in document:
            seen.add(document["sequence"])
        return [payload]

    ends = Ends(QUICK.model_copy(update={"max_retries": 1000}), watch)
    sending = asyncio.create_task(ends.a.send(b"x" * 1000))
    stream = await ends.streams.get()
    await asyncio.wait((sending,), timeout=0.2)
    assert max(seen) < 3 * QUICK.window_size
    assert len(await stream.read(1000)) == 1000
    await sending


async def test_a_peer_that_takes_nothing_ends_the_stream_with_its_reason() -> None:
    ends = Ends(QUICK.model_copy(update={"max_retries": 2}), lambda payload: [] if b'"data"' in payload else [payload])
    with pytest.raises(StreamFailed, match="not acknowledged in time"):
        await ends.a.send(b"lost")
    with pytest.raises(StreamFailed, match="nobody takes streams here"):
        await Ends(QUICK.model_copy(update={"max_retries": 1})).b.send(b"the other way")


async def test_a_stream_whose_rest_never_comes_is_given_up_and_leaves_its_place() -> None:
    def first_alone(payload: bytes) -> list[bytes]:
        return [payload] if json.loads(payload).get("sequence") == 0 else []

    ends = Ends(QUICK.model_copy(update={"max_retries": 1}), first_alone)
    sending = asyncio.create_task(ends.a.send(b"x" * 100))
    with pytest.raises(StreamFailed, match="did not come"):
        await (await ends.streams.get()).read(1000)
    with pytest.raises(StreamFailed):
        await sending
    assert not ends.b._incoming


async def test_a_channel_that_closes_ends_what_is_sent() -> None:
    ends = Ends(QUICK, lambda _payload: [])
    sending = asyncio.create_task(ends.a.send(b"x"))
    await asyncio.sleep(0)
    ends.a.close()
    with pytest.raises(LinkClosed):
        await sending


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"stream_id":"x"}', b"\xff" * 9])
def test_what_is_neither_chunk_nor_acknowledgement_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        Streams(lambda _payload, _format: None).take(payload)


async def test_a_lost_channel_ends_who_receives_at_once_after_what_has_come() -> None:
    ends = Ends(QUICK, lambda payload: [] if b'"sequence":2,' in payload else [payload])
    sending = asyncio.create_task(ends.a.send(b"0123456789" * 5))
    stream = await ends.streams.get()
    parts = []
    with pytest.raises(StreamFailed, match="lost"):  # noqa: PT012 - what came before the failure is read in it
        async for part in stream:
            parts.append(part)
            if len(parts) == 2:
                ends.a.close()
                ends.b.close()
    assert b"".join(parts) == b"0123456789" * 2
    with pytest.raises(LinkClosed):
        await sending
