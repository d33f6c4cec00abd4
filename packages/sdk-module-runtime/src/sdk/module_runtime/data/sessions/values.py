"""What a driver takes and gives, between a module and its orchestrator, with nothing lost: MessagePack as base64 text.

Beside what MessagePack has: integers of any size, decimals, dates and times, intervals, UUIDs, and JSON as text.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgpack  # type: ignore[import-untyped]

from sdk.module_runtime.data.database.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

_INTEGER: Final = 1
_DECIMAL: Final = 2
_DATETIME: Final = 3
_DATE: Final = 4
_TIME: Final = 5
_INTERVAL: Final = 6
_UUID: Final = 7
_JSON: Final = 8
_JSONB: Final = 9


@dataclass(frozen=True, slots=True)
class JsonText:
    """A JSON value that the database holds as such; ``is_binary`` for PostgreSQL's jsonb."""

    text: str
    is_binary: bool = False

    def parsed(self) -> Any:
        return json.loads(self.text)


def pack(value: Any, known: Callable[[Any], Any] | None = None) -> str:
    """``known`` makes values of a driver's own types into such that are carried, and leaves others alone.

    ``QueryError`` for a type that is not carried, ``UnicodeEncodeError`` for text that is none.
    """
    default = _extension if known is None else lambda each: _extension(known(each))
    return b64encode(msgpack.packb(value, default=default)).decode()


def unpack(text: object, json_of: Callable[[JsonText], Any] = JsonText.parsed) -> Any:
    """``QueryError`` for what ``pack`` has not made."""
    if not isinstance(text, str):
        raise QueryError("packed values are base64 text")

    def value(code: int, data: bytes) -> Any:
        if code in (_JSON, _JSONB):
            return json_of(JsonText(data.decode(), code == _JSONB))
        read = _READ.get(code)
        if read is None:
            raise QueryError(f"packed values have no type {code}")
        return read(data)

    try:
        return msgpack.unpackb(b64decode(text, validate=True), ext_hook=value, timestamp=0)
    except QueryError:
        raise
    except (ValueError, ArithmeticError, msgpack.UnpackException) as error:
        raise QueryError(f"packed values cannot be read: {type(error).__name__}") from error


def _extension(value: Any) -> Any:
    """What MessagePack has no form for. The order matters: a datetime is a date."""
    if isinstance(value, int):
        return msgpack.ExtType(_INTEGER, b"%d" % value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Decimal):
        return msgpack.ExtType(_DECIMAL, str(value).encode())
    if isinstance(value, datetime):
        return msgpack.ExtType(_DATETIME, value.isoformat().encode())
    if isinstance(value, date):
        return msgpack.ExtType(_DATE, value.isoformat().encode())
    if isinstance(value, time):
        return msgpack.ExtType(_TIME, value.isoformat().encode())
    if isinstance(value, timedelta):
        return msgpack.ExtType(_INTERVAL, f"{value.days} {value.seconds} {value.microseconds}".encode())
    if isinstance(value, UUID):
        return msgpack.ExtType(_UUID, value.bytes)
    if isinstance(value, JsonText):
        return msgpack.ExtType(_JSONB if value.is_binary else _JSON, value.text.encode())
    raise QueryError(f"a value of type {type(value).__name__} is not carried to or from a lent database")


def _interval(data: bytes) -> timedelta:
    days, seconds, microseconds = map(int, data.split())
    return timedelta(days, seconds, microseconds)


_READ: Final[dict[int, Callable[[bytes], Any]]] = {
    _INTEGER: int,
    _DECIMAL: lambda data: Decimal(data.decode()),
    _DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    _DATE: lambda data: date.fromisoformat(data.decode()),
    _TIME: lambda data: time.fromisoformat(data.decode()),
    _INTERVAL: _interval,
    _UUID: lambda data: UUID(bytes=data),
}
