"""Large data over a channel, in chunks that are acknowledged one by one and sent again until they are.

Chunks are what Rust sends without ``advanced_streaming``: JSON under format code 2 (spec/module-runtime.md §1.14). How
acknowledgements travel is defined nowhere; here they go back the same way.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sdk.module_runtime.errors import LinkClosed, RuntimeModuleError
from sdk.module_runtime.pending import Pending
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.packed import decode_stream, encode
from sdk.module_runtime.protocol.streaming import SOURCE, StreamAck, StreamChunk, StreamConfig, StreamMetadata, byte_sum

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
    from uuid import UUID

    from sdk.module_runtime.protocol.streaming import Priority

MOST_STREAMS: Final = 64
_REMEMBERED: Final = 1024


class StreamFailed(RuntimeModuleError):
    """The peer did not take a chunk, or the rest of a stream did not come."""

    code = "ERR_STREAM"


class IncomingStream:
    """Iterate over it for the data, in order. ``StreamFailed`` if the rest does not come in time."""

    def __init__(self, first: StreamChunk, window: int, patience: float) -> None:
        self.stream_id, self.metadata = first.stream_id, first.stream_metadata
        self._window, self._patience = window, patience
        self._next = 0
        self._early: dict[int, StreamChunk] = {}
        self._ready: asyncio.Queue[StreamChunk | None] = asyncio.Queue()
        self.complete = False
        """Whether all of it is here, read or not."""
        self.on_abandoned: Callable[[], None] = lambda: None

    @property
    def source(self) -> str | None:
        """The module that sends it, as the orchestrator says."""
        source = self.metadata.properties.get(SOURCE) if self.metadata is not None else None
        return source if isinstance(source, str) else None

    def accept(self, chunk: StreamChunk) -> bool:
        """Whether the chunk is here now, for the first time or again. Not if it is too early for the window."""
        if chunk.sequence < self._next or chunk.sequence in self._early:
            return True
        if chunk.sequence >= self._next + self._window or self._ready.qsize() >= self._window:
            return False
        self._early[chunk.sequence] = chunk
        while (following := self._early.pop(self._next, None)) is not None:
            self._ready.put_nowait(following)
            self._next += 1
            if following.is_final:
                self.complete = True
                self._early.clear()
                break
        return True

    def fail(self) -> None:
        """Nothing more will come. What is here already can still be read."""
        self._ready.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    chunk = await self._ready.get()
            except TimeoutError:
                self.on_abandoned()
                raise StreamFailed(f"the rest of the stream did not come within {self._patience:g} seconds") from None
            if chunk is None:
                raise StreamFailed("the channel was lost before the rest of the stream came")
            if chunk.data:
                yield chunk.data
            if chunk.is_final:
                return

    async def read(self, limit: int) -> bytes:
        """All of it. ``StreamFailed`` beyond ``limit`` bytes."""
        parts, size = [], 0
        async for part in self:
            size += len(part)
            if size > limit:
                raise StreamFailed(f"the stream is longer than {limit} bytes")
            parts.append(part)
        return b"".join(parts)


class Streams:
    """Both directions of one channel. ``send_frame`` queues a frame; ``take`` gets those of format code 2."""

    def __init__(
        self,
        send_frame: Callable[[bytes, Format], None],
        on_stream: Callable[[IncomingStream], None] | None = None,
        config: StreamConfig | None = None,
        *,
        packs: bool = False,
    ) -> None:
        """``packs``: whether the peer reads MessagePack, in which a chunk takes a quarter of its JSON."""
        self._packs = packs
        self._send_frame, self._on_stream = send_frame, on_stream
        self._config = config or StreamConfig()
        timeout = self._config.ack_timeout
        self._ack_timeout = timeout.secs + timeout.nanos / 1e9
        self._patience = self._ack_timeout * (self._config.max_retries + 1)
        self._acks: Pending[tuple[UUID, int], StreamAck] = Pending()
        self._incoming: OrderedDict[UUID, IncomingStream] = OrderedDict()
        self._finished: OrderedDict[UUID, None] = OrderedDict()

    async def send(
        self,
        data: bytes | AsyncIterable[bytes],
        *,
        content_type: str | None = None,
        priority: Priority = "Normal",
        properties: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Returns when the peer has acknowledged all of it. ``StreamFailed``, ``LinkClosed``."""
        stream_id, window = uuid4(), asyncio.Semaphore(self._config.window_size)
        total = len(data) if isinstance(data, bytes) else None
        metadata = StreamMetadata(
            total_size=total, content_type=content_type, priority=priority, properties=dict(properties or {})
        )
        sequence = 0
        try:
            async with asyncio.TaskGroup() as deliveries:
                async for part, is_final in _with_last(_parts(data, self._config.max_chunk_size)):
                    await window.acquire()
                    chunk = StreamChunk(
                        stream_id=stream_id,
                        sequence=sequence,
                        data=part,
                        compressed=False,
                        checksum=byte_sum(part),
                        is_final=is_final,
                        stream_metadata=metadata if sequence == 0 else None,
                    )
                    deliveries.create_task(self._deliver(chunk)).add_done_callback(lambda _: window.release())
                    sequence += 1
        except BaseExceptionGroup as group:
            known = group.subgroup((StreamFailed, LinkClosed))
            if known is None:
                raise
            raise known.exceptions[0] from None
        return stream_id

    def take(self, payload: bytes, format_: Format = Format.BINARY) -> None:
        """A chunk or an acknowledgement. ``ProtocolError`` if it is neither."""
        self.receive(decode_stream(payload, format_))

    def receive(self, frame: StreamChunk | StreamAck) -> None:
        if isinstance(frame, StreamAck):
            self._acks.answer((frame.stream_id, frame.sequence), frame)
        else:
            self._take_chunk(frame)

    def close(self) -> None:
        """The channel is gone: who sends gets ``LinkClosed``, who receives ``StreamFailed``."""
        self._acks.close()
        for stream in self._incoming.values():
            stream.fail()
        self._incoming.clear()

    async def _deliver(self, chunk: StreamChunk) -> None:
        reason = "it was not acknowledged in time"
        for _ in range(self._config.max_retries + 1):
            with self._acks.expecting((chunk.stream_id, chunk.sequence)) as answer:
                self._send_frame(*encode(chunk, packs=self._packs))
                try:
                    async with asyncio.timeout(self._ack_timeout):
                        ack = await asyncio.shield(answer)
                except TimeoutError:
                    continue
            if ack.success:
                return
            reason = ack.error or "the peer refused it"
        raise StreamFailed(f"chunk {chunk.sequence} was not taken: {reason}")

    def _take_chunk(self, chunk: StreamChunk) -> None:
        refusal = self._refusal(chunk)
        if refusal is None and chunk.stream_id not in self._finished:
            stream = self._stream_of(chunk)
            if stream is None or not stream.accept(chunk):
                return  # no word: it is sent again, when there may be room
            if stream.complete:
                self._finish(chunk.stream_id)
        ack = StreamAck(stream_id=chunk.stream_id, sequence=chunk.sequence, success=refusal is None, error=refusal)
        self._send_frame(*encode(ack, packs=self._packs))

    def _refusal(self, chunk: StreamChunk) -> str | None:
        if chunk.compressed:
            return "compressed chunks are not taken"
        if chunk.checksum != byte_sum(chunk.data):
            return "the checksum is wrong"
        if self._on_stream is None:
            return "nobody takes streams here"
        return None

    def _stream_of(self, chunk: StreamChunk) -> IncomingStream | None:
        """A stream begins with its first chunk, and only if there is room for one more."""
        stream = self._incoming.get(chunk.stream_id)
        if stream is None and chunk.sequence == 0 and len(self._incoming) < MOST_STREAMS:
            assert self._on_stream is not None
            stream = self._incoming[chunk.stream_id] = IncomingStream(chunk, self._config.window_size, self._patience)
            stream.on_abandoned = lambda: self._finish(chunk.stream_id)
            self._on_stream(stream)
        return stream

    def _finish(self, stream_id: UUID) -> None:
        """Remember it for a while: a chunk whose acknowledgement was late comes once more."""
        self._incoming.pop(stream_id, None)
        self._finished[stream_id] = None
        while len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)


async def _parts(data: bytes | AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """Pieces of at most ``size`` bytes."""
    if isinstance(data, bytes):
        for start in range(0, len(data), size):
            yield data[start : start + size]
        return
    async for piece in data:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


async def _with_last(parts: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Each part, and whether it is the last. Of nothing, one empty part: the peer must hear of it."""
    held: bytes | None = None
    async for part in parts:
        if held is not None:
            yield held, False
        held = part
    yield held or b"", True
