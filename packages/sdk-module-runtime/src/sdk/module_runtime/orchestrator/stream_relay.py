"""Streams from one module to another: chunks one way, acknowledgements back, nothing kept.

The first chunk names its target in ``stream_metadata.properties``; the target learns there who sends. Only those two
have a word in the stream, and each chunk is acknowledged by the target itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.protocol.streaming import SOURCE, TARGET, StreamAck

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.protocol.streaming import StreamChunk

MOST_STREAMS: Final = 1024
"""Beyond that the one that was silent for longest is forgotten, and fails."""
MOST_OF_ONE: Final = 64


class _Stream(NamedTuple):
    source: Conversation
    target: Conversation


class StreamRelay:
    """``find`` is the module of an id that is reached now."""

    def __init__(self, find: Callable[[str], Conversation | None]) -> None:
        self._find = find
        self._streams: OrderedDict[UUID, _Stream] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def chunk(self, chunk: StreamChunk, source: Conversation) -> StreamAck | None:
        """Pass it on. What is answered instead, if it cannot be."""
        stream = self._streams.get(chunk.stream_id)
        if stream is None:
            target = self._begin(chunk, source)
            if isinstance(target, str):
                return _refusal(chunk, target)
            stream = self._streams[chunk.stream_id] = _Stream(source, target)
            self._forget_oldest()
        elif stream.source is not source:
            return _refusal(chunk, "this stream is another module's")
        self._streams.move_to_end(chunk.stream_id)
        try:
            stream.target.send_by_channel(_from(chunk, source.module_id))
        except LinkClosed as error:
            return _refusal(chunk, f"{stream.target.module_id} cannot be reached: {error}")
        return None

    def ack(self, ack: StreamAck, target: Conversation) -> bool:
        """Pass it back. False if it is not this module's to say."""
        stream = self._streams.get(ack.stream_id)
        if stream is None or stream.target is not target:
            return False
        try:
            stream.source.send_by_channel(ack)
        except LinkClosed:
            self._streams.pop(ack.stream_id)
        return True

    def release(self, conversation: Conversation) -> None:
        """It is gone, and its streams with it."""
        for stream_id, stream in list(self._streams.items()):
            if conversation in stream:
                del self._streams[stream_id]

    def _begin(self, chunk: StreamChunk, source: Conversation) -> Conversation | str:
        metadata = chunk.stream_metadata
        if metadata is None:
            return "this stream is not known; it has to begin with its first chunk"
        target = metadata.properties.get(TARGET)
        if not isinstance(target, str):
            return f"the stream names no module in its property {TARGET}"
        if sum(stream.source is source for stream in self._streams.values()) >= MOST_OF_ONE:
            self._forget_oldest_of(source)
        return self._find(target) or f"no module {target[:64]} runs here"

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


def _refusal(chunk: StreamChunk, reason: str) -> StreamAck:
    return StreamAck(stream_id=chunk.stream_id, sequence=chunk.sequence, success=False, error=reason)
