"""Large data in chunks, as the Rust build without ``advanced_streaming`` frames it: JSON under format code 2."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from sdk.module_runtime.protocol.model import U32, U64, WireBytes, WireStruct, WireUuid

TARGET: Final = "target_module_id"
SOURCE: Final = "source_module_id"
"""Properties of ours in the metadata of a stream that goes through an orchestrator to another module."""

Priority = Literal["Low", "Normal", "High", "Critical"]


class Duration(WireStruct):
    secs: U64
    nanos: U32


class StreamConfig(WireStruct):
    """Sizes in bytes; ``window_size`` in chunks."""

    max_chunk_size: U64 = 65536
    window_size: U64 = 10
    ack_timeout: Duration = Duration(secs=30, nanos=0)
    max_retries: U32 = 3
    preserve_order: bool = True
    enable_compression: bool = True
    compression_threshold: U64 = 1024


class StreamMetadata(WireStruct):
    total_size: U64 | None = None
    content_type: str | None = None
    priority: Priority
    properties: dict[str, Any]


class StreamChunk(WireStruct):
    """``checksum`` is over ``data`` as sent; ``stream_metadata`` comes with the first chunk only."""

    stream_id: WireUuid
    sequence: U64
    total_chunks: U64 | None = None
    data: WireBytes
    compressed: bool
    checksum: U32
    is_final: bool
    stream_metadata: StreamMetadata | None = None


class StreamAck(WireStruct):
    stream_id: WireUuid
    sequence: U64
    success: bool
    error: str | None = None


class PubSubMessage(WireStruct):
    topic: str
    payload: WireBytes
    priority: Priority
    ttl: Duration | None = None
    publisher: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


def byte_sum(data: bytes) -> int:
    """The checksum of a chunk: the sum of its bytes modulo 2**32."""
    return sum(data) & 0xFFFF_FFFF
