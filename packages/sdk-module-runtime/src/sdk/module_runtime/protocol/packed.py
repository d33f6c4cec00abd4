"""Messages that carry bytes, as MessagePack and bare, once both ends said that they read it.

JSON writes each byte as a number. Other messages gain nothing, so they stay JSON, which also decides what a free-form
value may hold. A module that is announced ``msgpack`` sends its ``hello`` this way, and is answered so from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from uuid import UUID

import msgpack  # type: ignore[import-untyped]
from pydantic import Field

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.extensions import Hello
from sdk.module_runtime.protocol.formats import Format, convert, unpack
from sdk.module_runtime.protocol.messages import (
    HttpRequest,
    HttpResponse,
    RoutedModuleMessage,
    RoutedModuleResponse,
    RouteToModule,
    decode_module_line,
    decode_orchestrator_body,
)
from sdk.module_runtime.protocol.model import Codec, WireStruct
from sdk.module_runtime.protocol.streaming import StreamAck, StreamChunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.protocol.messages import (
        ModuleToOrchestrator,
        OrchestratorToModule,
    )

_FromModule: TypeAlias = Hello | HttpResponse | RouteToModule
_ToModule: TypeAlias = HttpRequest | RoutedModuleMessage | RoutedModuleResponse
_FROM_MODULE: Final[Codec[_FromModule]] = Codec(
    "MessagePack of a module", Annotated[_FromModule, Field(discriminator="op")]
)
_TO_MODULE: Final[Codec[_ToModule]] = Codec(
    "MessagePack of an orchestrator", Annotated[_ToModule, Field(discriminator="op")]
)
_STREAM: Final[Codec[StreamChunk | StreamAck]] = Codec("stream frame", StreamChunk | StreamAck)
_OF_STREAMS: Final = (StreamChunk, StreamAck)  # quicker to ask for than a union
_LEAST: Final = 64
"""Bytes within a message from which MessagePack is worth it."""
_CARRIED: Final[dict[type[WireStruct], Callable[[Any], int]]] = {
    HttpRequest: lambda message: len(message.body or b""),
    HttpResponse: lambda message: len(message.body or b""),
    RouteToModule: lambda message: len(message.payload.data),
    RoutedModuleMessage: lambda message: len(message.payload.data),
    RoutedModuleResponse: lambda message: len(message.payload.data),
    StreamChunk: lambda message: len(message.data),
}
"""How many bytes are within."""


def encode(message: WireStruct, *, packs: bool) -> tuple[bytes, Format]:
    """The payload of a frame with ``message``, bare. ``packs``: whether the peer reads MessagePack."""
    carried = _CARRIED.get(type(message))
    if packs and carried is not None and carried(message) >= _LEAST:
        return pack_message(message), Format.MESSAGE_PACK
    return message.to_json(), Format.BINARY if isinstance(message, _OF_STREAMS) else Format.JSON


def pack_message(message: WireStruct) -> bytes:
    packed: bytes = msgpack.packb(message.__dict__, default=_plain)
    return packed


def decode_from_module(payload: bytes, format_: Format) -> ModuleToOrchestrator | StreamChunk | StreamAck:
    """One frame of a module. Raises ``ProtocolError``."""
    if is_stream(payload, format_):
        return decode_stream(payload, format_)
    if format_ is Format.MESSAGE_PACK:
        return _FROM_MODULE.from_value(unpack(payload))
    return decode_module_line(convert(payload, format_, Format.JSON))


def decode_from_orchestrator(payload: bytes, format_: Format) -> OrchestratorToModule | StreamChunk | StreamAck:
    """One frame of an orchestrator. Raises ``ProtocolError``."""
    if is_stream(payload, format_):
        return decode_stream(payload, format_)
    if format_ is Format.MESSAGE_PACK:
        return _TO_MODULE.from_value(unpack(payload))
    return decode_orchestrator_body(convert(payload, format_, Format.JSON))


def is_stream(payload: bytes, format_: Format) -> bool:
    """Whether a frame belongs to a stream: Rust says so by format code 2 alone, which any message may have too."""
    if format_ is Format.MESSAGE_PACK:
        return payload[1:4] != b"\xa2op"
    return format_ is Format.BINARY and b'"op"' not in payload and b'"stream_id"' in payload


def decode_stream(payload: bytes, format_: Format = Format.BINARY) -> StreamChunk | StreamAck:
    """Raises ``ProtocolError``."""
    if format_ is Format.MESSAGE_PACK:
        return _STREAM.from_value(unpack(payload))
    return _STREAM.from_json(payload)


def _plain(value: Any) -> Any:
    if isinstance(value, WireStruct):
        return value.__dict__
    if isinstance(value, UUID):
        return str(value)
    raise ProtocolError("MessagePack document", f"cannot hold a {type(value).__name__}")
