"""Which module answers which path. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.module_runtime.protocol.services import Endpoint

LONGEST_PATH: Final = 2048
_ANY_METHOD: Final = "*"
_REST: Final = re.compile(r"\*\w*|\{\*\w+\}|\{\w+:\.[*+]\}", re.ASCII)
_ONE: Final = re.compile(r":\w+|\{\w+(?::.*)?\}|<[^<>]*>", re.ASCII)


@dataclass(frozen=True)
class Route:
    """``segments`` are texts, or None for whatever stands there; with ``rest`` more may follow."""

    module_id: str
    path: str
    methods: frozenset[str]
    auth: str | None
    segments: tuple[str | None, ...]
    rest: bool

    def answers(self, method: str) -> bool:
        return method in self.methods or _ANY_METHOD in self.methods or (method == "HEAD" and "GET" in self.methods)


@dataclass(frozen=True)
class Found:
    """``route`` is None if no method fits; ``allowed`` are those that would."""

    route: Route | None
    allowed: frozenset[str]


def route_of(module_id: str, endpoint: Endpoint, mount: str = "") -> Route:
    """A path pattern as aiohttp, axum, Flask or Starlette write it. ``ValueError`` says what is wrong with it."""
    path = mount + endpoint.path
    if not path.startswith("/") or len(path) > LONGEST_PATH:
        raise ValueError("the path of an endpoint begins with / and is not longer than 2048")
    parts = path.split("/")[1:]
    rest = bool(parts) and _REST.fullmatch(parts[-1]) is not None
    if rest:
        parts.pop()
    segments = tuple(None if _ONE.fullmatch(part) else unquote(part) for part in parts)
    if any(segment is not None and segment in (".", "..") for segment in segments):
        raise ValueError("the path of an endpoint has no dot segments")
    methods = frozenset(method.upper() for method in endpoint.methods) or frozenset(("GET",))
    return Route(module_id, path, methods, endpoint.auth, segments, rest)


class RouteTable:
    """Fixed paths before patterns, longer ones before shorter ones, and otherwise the module that stands first."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._fixed: dict[tuple[str | None, ...], list[Route]] = {}
        self._patterns: list[Route] = []
        for route in routes:
            if route.rest or None in route.segments:
                self._patterns.append(route)
            else:
                self._fixed.setdefault(route.segments, []).append(route)
        self._patterns.sort(key=_specificity)

    def find(self, method: str, raw_path: str) -> Found | None:
        """None if nobody knows the path."""
        segments = split(raw_path)
        if segments is None:
            return None
        known = [
            *self._fixed.get(segments, ()),
            *(route for route in self._patterns if _matches(route, segments)),
        ]
        if not known:
            return None
        fitting = next((route for route in known if route.answers(method)), None)
        return Found(fitting, frozenset(method for route in known for method in route.methods))


def split(raw_path: str) -> tuple[str, ...] | None:
    """The decoded segments; None for a path with dot segments, which one side might resolve and the other not."""
    if not raw_path.startswith("/") or len(raw_path) > LONGEST_PATH:
        return None
    segments = tuple(unquote(part) for part in raw_path.split("/")[1:])
    if any(segment in (".", "..") or "\x00" in segment or "\\" in segment for segment in segments):
        return None
    return segments


def _matches(route: Route, segments: Sequence[str]) -> bool:
    if len(segments) < len(route.segments) or (len(segments) > len(route.segments) and not route.rest):
        return False
    pairs = zip(route.segments, segments, strict=False)
    return all(given != "" if wanted is None else wanted == given for wanted, given in pairs)


def _specificity(route: Route) -> tuple[bool, int, tuple[bool, ...]]:
    return route.rest, -len(route.segments), tuple(segment is None for segment in route.segments)
