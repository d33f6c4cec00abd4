"""What may go through the relay, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.orchestrator.conversation import Conversation
from sdk.module_runtime.orchestrator.stream_relay import MOST_OF_ONE, MOST_STREAMS
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.streaming import SOURCE, TARGET, StreamAck, StreamChunk, StreamMetadata, byte_sum

if TYPE_CHECKING:
    from sdk.module_runtime.protocol.model import WireStruct


class Channel:
    """A transport that remembers."""

    label = "unix"

    def __init__(self) -> None:
        self.sent: list[WireStruct] = []
        self.open = True

    def send(self, message: WireStruct) -> None:
        if not self.open:
            raise LinkClosed("closed")
        self.sent.append(message)

    def hold(self, held: bool) -> None:
        """Nothing is read here."""


class Module:
    def __init__(self, name: str, board: Switchboard) -> None:
        self.conversation = Conversation(name, "t", board, lambda _level, _text: None)
        self.channel = Channel()
        self.conversation.attach(self.channel)
        self.conversation.is_ready = True
        board.enter(self.conversation)

    def says(self, message: StreamChunk | StreamAck) -> None:
        self.conversation.receive(message, self.channel)

    @property
    def acks(self) -> list[StreamAck]:
        return [each for each in self.channel.sent if isinstance(each, StreamAck)]

    @property
    def chunks(self) -> list[StreamChunk]:
        return [each for each in self.channel.sent if isinstance(each, StreamChunk)]


@pytest.fixture
async def board() -> Switchboard:
    return Switchboard()


def chunk(properties: dict[str, object] | None = None, sequence: int = 0) -> StreamChunk:
    metadata = StreamMetadata(priority="Normal", properties=properties or {}) if not sequence else None
    return StreamChunk(
        stream_id=uuid4(),
        sequence=sequence,
        data=b"data",
        compressed=False,
        checksum=byte_sum(b"data"),
        is_final=True,
        stream_metadata=metadata,
    )


async def test_the_target_learns_who_sends_whatever_the_sender_says(board: Switchboard) -> None:
    one, two = Module("one", board), Module("two", board)
    sent = chunk({TARGET: "two", SOURCE: "the bank"})
    one.says(sent)
    assert two.chunks[0].stream_metadata is not None
    assert two.chunks[0].stream_metadata.properties[SOURCE] == "one"
    two.says(StreamAck(stream_id=sent.stream_id, sequence=0, success=True))
    assert one.acks == [StreamAck(stream_id=sent.stream_id, sequence=0, success=True)]


async def test_only_the_two_of_a_stream_have_a_word_in_it(board: Switchboard) -> None:
    one, two, thief = Module("one", board), Module("two", board), Module("thief", board)
    sent = chunk({TARGET: "two"})
    one.says(sent)
    thief.says(sent)
    assert "another module's" in (thief.acks[0].error or "")
    assert len(two.chunks) == 1
    thief.says(StreamAck(stream_id=sent.stream_id, sequence=0, success=True))
    assert one.acks == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (chunk(), "names no module"),
        (chunk({TARGET: 7}), "names no module"),
        (chunk({TARGET: "nobody"}), "no module nobody runs here"),
        (chunk(sequence=3), "begin with its first chunk"),
    ],
)
async def test_what_cannot_be_passed_on_is_refused_with_a_reason(
    board: Switchboard, sent: StreamChunk, reason: str
) -> None:
    one = Module("one", board)
    one.says(sent)
    assert (one.acks[0].success, reason in (one.acks[0].error or "")) == (False, True)
    assert len(board.streams) == 0


async def test_who_sends_is_told_at_once_when_the_channel_of_the_target_is_lost(board: Switchboard) -> None:
    one, two = Module("one", board), Module("two", board)
    first, *rest = begun(one, 4)
    two.says(StreamAck(stream_id=first.stream_id, sequence=0, success=True))
    two.conversation.detach(two.channel)
    told = one.acks[1:]
    assert [(each.sequence, each.success) for each in told] == [(each.sequence, False) for each in rest]
    assert {each.error for each in told} == {"the channel of two was lost"}
    assert len(board.streams) == 0
    again = StreamChunk(**(rest[0].__dict__ | {"sequence": 9}))
    one.says(again)
    assert "begin with its first chunk" in (one.acks[-1].error or "")


async def test_who_sends_is_told_at_once_when_the_target_is_gone(board: Switchboard) -> None:
    one, two = Module("one", board), Module("two", board)
    begun(one, 2)
    await two.conversation.close()
    assert [each.error for each in one.acks] == ["two is gone"] * 2


async def test_a_stream_stays_on_the_channels_on_which_it_began(board: Switchboard) -> None:
    one, two = Module("one", board), Module("two", board)
    first, second = begun(one, 2)
    newer_of_one, newer_of_two = Channel(), Channel()
    one.conversation.attach(newer_of_one)
    two.conversation.attach(newer_of_two)
    one.says(StreamChunk(**(second.__dict__ | {"sequence": 2})))
    two.says(StreamAck(stream_id=first.stream_id, sequence=0, success=True))
    assert (newer_of_one.sent, newer_of_two.sent) == ([], [])
    assert (len(one.acks), len(two.chunks)) == (1, 3)


def begun(source: Module, count: int) -> list[StreamChunk]:
    """The first chunks of one stream to ``two``, sent."""
    chunks = [chunk({TARGET: "two"})]
    chunks += [
        StreamChunk(**(chunks[0].__dict__ | {"sequence": number, "stream_metadata": None}))
        for number in range(1, count)
    ]
    for each in chunks:
        source.says(each)
    return chunks


async def test_a_target_that_is_gone_fails_the_stream_and_what_is_kept_is_bounded(board: Switchboard) -> None:
    one, two = Module("one", board), Module("two", board)
    for _ in range(MOST_OF_ONE + 10):
        one.says(chunk({TARGET: "two"}))
    assert len(board.streams) == MOST_OF_ONE
    many = [Module(f"m{number}", board) for number in range(MOST_STREAMS // MOST_OF_ONE + 2)]
    for each in many:
        for _ in range(MOST_OF_ONE):
            each.says(chunk({TARGET: "two"}))
    assert len(board.streams) == MOST_STREAMS
    two.channel.open = False
    many[-1].says(chunk({TARGET: "two"}))
    assert "cannot be reached" in (many[-1].acks[-1].error or "")
    await two.conversation.close()
    assert len(board.streams) == 0
