"""How a payload is encoded, and one encoding turned into another (Rust: ``EncodedMessage::to_format``)."""

from __future__ import annotations

import base64
import binascii
from enum import IntEnum
from typing import Any, Literal

import msgpack  # type: ignore[import-untyped]
import orjson

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.json_text import parse_json, write_json
from sdk.module_runtime.protocol.model import WireBytes, WireStruct

FormatName = Literal["Json", "Binary", "Base64", "Auto"]


class Format(IntEnum):
    """The code in a frame's header. ``MESSAGE_PACK`` is ours, sent only once the extension ``msgpack`` is announced."""

    AUTO = 0
    JSON = 1
    BINARY = 2
    BASE64 = 3
    MESSAGE_PACK = 4


class EncodedMessage(WireStruct):
    """A payload passed on unread: its bytes and how they are encoded."""

    data: WireBytes
    format: FormatName


def convert(data: bytes, source: Format, target: Format) -> bytes:
    """``data`` in another format; ``BINARY`` to ``JSON`` only if the bytes are JSON text. Raises ``ProtocolError``."""
    if Format.AUTO in (source, target):
        raise ProtocolError("conversion", "unsupported encoding format: auto")
    if source == target:
        return data
    if source == Format.MESSAGE_PACK:
        return convert(write_json(unpack(data), "MessagePack document"), Format.JSON, target)
    if target == Format.MESSAGE_PACK:
        return pack(parse_json(convert(data, source, Format.JSON), "document"))
    if target == Format.BASE64:
        return base64.b64encode(data)
    if source == Format.JSON:  # Rust relabels the text
        return data
    if source == Format.BASE64:
        decoded = _from_base64(data)
        if target == Format.JSON:
            parse_json(decoded, "Base64 payload")
        return decoded
    return orjson.dumps(parse_json(data, "binary payload"), option=orjson.OPT_SORT_KEYS)


def pack(value: Any) -> bytes:
    """MessagePack of a JSON value."""
    try:
        packed: bytes = msgpack.packb(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError("MessagePack document", f"cannot be written: {type(error).__name__}") from None
    return packed


def unpack(data: bytes) -> Any:
    """The value of one MessagePack document with text keys. Raises ``ProtocolError``."""
    try:
        return msgpack.unpackb(data, timestamp=0)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise ProtocolError("MessagePack document", type(error).__name__) from None


def peek_kind(data: bytes) -> str:
    """A name for a payload in logs: its ``kind``, ``op`` or ``metadata.id``; else ``Unknown`` or ``Invalid JSON``."""
    try:
        value = parse_json(data, "payload")
    except ProtocolError:
        return "Invalid JSON"
    if not isinstance(value, dict):
        return "Unknown"
    metadata = value.get("metadata")
    names = (value.get("kind"), value.get("op"), metadata.get("id") if isinstance(metadata, dict) else None)
    return next((name for name in names if isinstance(name, str)), "Unknown")


def _from_base64(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ProtocolError("Base64 payload", str(error)) from None
