"""JSON as serde_json reads and writes it.

Read: UTF-8 only, no NaN, at most 127 levels, ``-0`` is a float and no integer, and a member of a *struct* given twice
is an error although one of a map is not. Whether a member belongs to a struct only the model knows, so an object with
repeated members arrives there as ``Repeated``, and so does the document around it.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

import orjson

from sdk.module_runtime.errors import ProtocolError

MAX_DEPTH = 127
_LONGEST_U64 = 20
_SHORT = 4096
"""Bytes that are sooner written again than counted."""
_MEMBER = re.compile(rb'"[ \t\r\n]*:')
_MINUS_ZERO = re.compile(rb"(?:\A|[:\[,])[ \t\r\n]*-0[ \t\r\n]*(?:\Z|[,\]}])")

_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class Repeated(dict[str, Any]):
    """An object some of whose members stood there more than once; the last one counts."""

    repeated: frozenset[str] = frozenset()


class Struct:
    """What is written as an object of these members."""

    __slots__ = ()

    def members(self) -> dict[str, Any]:
        raise TypeError(f"{type(self).__name__} has no members")


def parse_json(data: bytes | bytearray | memoryview, what: str) -> Any:
    """The value of one JSON document. ``what`` names it in the ``ProtocolError``."""
    data = bytes(data)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # msg alone: the exception also carries the whole document, which may be a secret
        raise ProtocolError(what, f"not JSON: {error.msg} at byte {error.pos}") from None
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise ProtocolError(what, f"nested more than {MAX_DEPTH} levels deep")
    if len(data) <= _SHORT and orjson.dumps(value) == data:  # which writes no member twice
        return value
    if b"-0" in data and _MINUS_ZERO.search(data) is not None:
        return _parsed_slowly(data)
    colons = data.count(b":")
    if colons == _outer_members(value) or colons == (members := _members(value)):
        return value
    if len(_MEMBER.findall(data)) == members:
        return value
    return _parsed_slowly(data)  # a quoted colon in a text, or a member given twice


def write_json(value: Any, what: str) -> bytes:
    """Compact UTF-8. What JSON cannot hold (bytes, NaN, half a surrogate pair) raises ``ProtocolError``."""
    try:
        text = orjson.dumps(value, default=_members_of, option=_ONLY_JSON)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(what, f"cannot be written as JSON: {type(error).__name__}") from None
    nulls = text.count(b"null")  # orjson writes NaN as null
    if nulls and nulls != _outer_nones(value) and not _all_finite(value):
        raise ProtocolError(what, "cannot be written as JSON: it holds a number that is not finite")
    return text


def _members_of(value: Any) -> dict[str, Any]:
    if isinstance(value, Struct):
        return value.members()
    raise TypeError(type(value).__name__)


def _outer_nones(value: Any) -> int:
    return list(value.values()).count(None) if type(value) is dict else 0


def _all_finite(value: Any) -> bool:
    inner = [value]
    while inner:
        each = inner.pop()
        if isinstance(each, float):
            if not isfinite(each):
                return False
        elif isinstance(each, dict):
            inner.extend(each.values())
        elif isinstance(each, (list, tuple)):
            inner.extend(each)
        elif isinstance(each, Struct):
            inner.extend(each.members().values())
    return True


def _outer_members(value: Any) -> int:
    """Never more than ``_members``: counted two levels deep, which is most messages."""
    if type(value) is not dict:
        return 0
    return len(value) + sum([len(inner) for inner in value.values() if type(inner) is dict])


def _members(value: Any) -> int:
    """The members of all objects in ``value``."""
    count, inner = 0, [value] if type(value) in (dict, list) else []
    while inner:
        each = inner.pop()
        if type(each) is dict:
            count += len(each)
            each = each.values()
        inner.extend([deeper for deeper in each if type(deeper) is dict or type(deeper) is list])
    return count


def _parsed_slowly(data: bytes) -> Any:
    found = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        found = True
        marked = Repeated(members)
        names = [name for name, _ in pairs]
        marked.repeated = frozenset(name for name in members if names.count(name) > 1)
        return marked

    value = json.loads(data, object_pairs_hook=build, parse_int=_integer)
    return Repeated(value) if found and type(value) is dict else value


def _integer(text: str) -> int | float:
    """As serde_json: an integer beyond 64 bits is a float, and so is ``-0``."""
    if len(text) > _LONGEST_U64 or text == "-0":
        return float(text)
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 64 else float(text)


def _deeper_than(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if type(outer) in (dict, list)
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in (dict, list)
        ]
        if not level:
            return False
    return True
