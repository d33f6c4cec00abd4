"""Streams from one module to another: chunks one way, acknowledgements back, nothing kept.

The first chunk names its target in ``stream_metadata.properties``; the target learns there who sends. Only those two
have a word in the stream, and each chunk is acknowledged by the target itself. A stream stays on the channel of either
side on which it began, for nobody knows it on another: when that of its target is lost, whoever sends is told at once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.protocol.streaming import SOURCE, TARGET, StreamAck

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.transports import Transport
    from sdk.module_runtime.protocol.streaming import StreamChunk

MOST_STREAMS: Final = 1024
"""Beyond that the one that was silent for longest is forgotten, and fails."""
MOST_OF_ONE: Final = 64
MOST_UNANSWERED: Final = 1024
"""Chunks of one stream, beyond which the oldest are no longer known to wait for an answer."""


@dataclass(slots=True)
class _Stream:
    source: Conversation
    target: Conversation
    back: Transport
    onward: Transport
    unanswered: dict[int, None] = field(default_factory=dict)


class StreamRelay:
    """``find`` is the module of an id that is reached now."""

    def __init__(self, find: Callable[[str], Conversation | None]) -> None:
        self._find = find
        self._streams: OrderedDict[UUID, _Stream] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def chunk(self, chunk: StreamChunk, source: Conversation, back: Transport) -> StreamAck | None:
        """Pass it on; ``back`` is where it came from. What is answered instead, if it cannot be."""
        stream = self._streams.get(chunk.stream_id)
        if stream is None:
            begun = self._begin(chunk, source, back)
            if isinstance(begun, str):
                return _refusal(chunk.stream_id, chunk.sequence, begun)
            stream = self._streams[chunk.stream_id] = begun
            self._forget_oldest()
        elif stream.source is not source:
            return _refusal(chunk.stream_id, chunk.sequence, "this stream is another module's")
        self._streams.move_to_end(chunk.stream_id)
        try:
            stream.onward.send(_from(chunk, source.module_id))
        except LinkClosed as error:
            return _refusal(chunk.stream_id, chunk.sequence, f"{stream.target.module_id} cannot be reached: {error}")
        stream.unanswered[chunk.sequence] = None
        if len(stream.unanswered) > MOST_UNANSWERED:
            del stream.unanswered[next(iter(stream.unanswered))]
        return None

    def ack(self, ack: StreamAck, target: Conversation) -> bool:
        """Pass it back. False if it is not this module's to say."""
        stream = self._streams.get(ack.stream_id)
        if stream is None or stream.target is not target:
            return False
        stream.unanswered.pop(ack.sequence, None)
        try:
            stream.back.send(ack)
        except LinkClosed:
            self._streams.pop(ack.stream_id)
        return True

    def lost(self, channel: Transport) -> None:
        """It is closed, and the streams on it are over."""
        for stream_id, stream in list(self._streams.items()):
            if channel is stream.onward:
                self._fail(stream_id, f"the channel of {stream.target.module_id} was lost")
            elif channel is stream.back:
                del self._streams[stream_id]

    def release(self, conversation: Conversation) -> None:
        """It is gone, and its streams with it."""
        for stream_id, stream in list(self._streams.items()):
            if conversation is stream.target:
                self._fail(stream_id, f"{conversation.module_id} is gone")
            elif conversation is stream.source:
                del self._streams[stream_id]

    def _fail(self, stream_id: UUID, reason: str) -> None:
        """What was sent and not answered is answered now, so that nobody waits for it."""
        stream = self._streams.pop(stream_id)
        try:
            for sequence in stream.unanswered:
                stream.back.send(_refusal(stream_id, sequence, reason))
        except LinkClosed:
            return

    def _begin(self, chunk: StreamChunk, source: Conversation, back: Transport) -> _Stream | str:
        metadata = chunk.stream_metadata
        if metadata is None:
            return "this stream is not known; it has to begin with its first chunk"
        name = metadata.properties.get(TARGET)
        if not isinstance(name, str):
            return f"the stream names no module in its property {TARGET}"
        if sum(stream.source is source for stream in self._streams.values()) >= MOST_OF_ONE:
            self._forget_oldest_of(source)
        target = self._find(name)
        if target is None:
            return f"no module {name[:64]} runs here"
        onward = target.newest_channel
        if onward is None:
            return f"{name} cannot be reached: it has no channel open"
        return _Stream(source, target, back, onward)

    def _forget_oldest(self) -> None:
        if len(self._streams) > MOST_STREAMS:
            self._streams.popitem(last=False)

    def _forget_oldest_of(self, source: Conversation) -> None:
        oldest = next(stream_id for stream_id, stream in self._streams.items() if stream.source is source)
        del self._streams[oldest]


def _from(chunk: StreamChunk, source: str) -> StreamChunk:
    metadata = chunk.stream_metadata
    if metadata is None:
        return chunk
    properties = {**metadata.properties, SOURCE: source}
    return chunk.model_copy(update={"stream_metadata": metadata.model_copy(update={"properties": properties})})


def _refusal(stream_id: UUID, sequence: int, reason: str) -> StreamAck:
    return StreamAck(stream_id=stream_id, sequence=sequence, success=False, error=reason)
