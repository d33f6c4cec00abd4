"""JSON values changed a little, so that they are nearly messages."""

from __future__ import annotations

import copy
from typing import Any

ODD: list[Any] = [
    None, True, 0, -1, 255, 256, 65535, 65536, 2**63, 1.0, 2.5, "", "x", "Json", "None", "Database", "127.0.0.1:1",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "urn:uuid:no",
    [], [1, 2], [256], ["x"], {}, {"x": 1}, {"Custom": "y"}, {"Custom": 1}, {"Custom": "y", "more": 1},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value in it, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], change: str, odd: Any) -> Any:
    """``value`` with another value at ``path``, or a member less (``remove``) or more (``add``) there."""
    if not path:
        return odd
    value = copy.deepcopy(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    if change == "remove":
        del holder[path[-1]]
    elif change == "add" and isinstance(holder, dict):
        holder["unknown"] = odd
    else:
        holder[path[-1]] = odd
    return value
