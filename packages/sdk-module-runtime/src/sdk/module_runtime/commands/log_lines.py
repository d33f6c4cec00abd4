"""What a module has written, for people to read on a terminal. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENT: Final = ("event", "message", "msg")
_TOLD_ALREADY: Final = frozenset(("level", "timestamp", "time", "ts", "logger"))
_LONG: Final = ("exception", "traceback", "stack")
"""Printed on lines of their own below."""
_PLAIN: Final = re.compile(r"[^\s\"=]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def readable(line: str) -> str:
    """A line that is a JSON object, as structured logs are, as its event and ``name=value``; any other as it is.

    Whatever could move the cursor of a terminal is escaped.
    """
    try:
        found = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        found = None
    return _structured(found) if isinstance(found, dict) and found else _escaped(line)


def _structured(found: Mapping[str, Any]) -> str:
    event = next((name for name in _EVENT if isinstance(found.get(name), str)), None)
    head = [] if event is None else [_escaped(found[event])]
    below: list[str] = []
    for name, value in found.items():
        if name == event or name in _TOLD_ALREADY:
            continue
        if name in _LONG and isinstance(value, str):
            below += [f"    {_escaped(each)}" for each in value.splitlines()]
        else:
            head.append(f"{_escaped(name)}={_value(value)}")
    if isinstance(found.get("logger"), str):
        head.append(f"({_escaped(found['logger'])})")
    return "\n".join([" ".join(head), *below])


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    is_plain = not isinstance(value, str) or _PLAIN.fullmatch(text) is not None
    return _escaped(text if is_plain else json.dumps(text, ensure_ascii=False))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
