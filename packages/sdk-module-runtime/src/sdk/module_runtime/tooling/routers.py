"""What an application routes, for ``announce``: aiohttp, and where they are installed FastAPI, Starlette and Flask.

Paths come out as the gateway reads them: ``{name}`` for one segment, ``{name:.*}`` at the end for whatever follows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.protocol.services import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STARLETTE: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
_FLASK: Final = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_DEEPEST: Final = 20


def discover(app: Any) -> list[Endpoint]:
    """In the order in which they were added, each path once. ``ConfigurationError`` for another kind of object."""
    for kind in type(app).__mro__:
        library = kind.__module__.partition(".")[0]
        if library == "aiohttp" and kind.__name__ == "Application":
            from sdk.module_runtime.module.http import endpoints_of

            return endpoints_of(app)
        if library in ("starlette", "fastapi") and hasattr(app, "routes"):
            return _merged(_starlette(app.routes))
        if library == "flask" and hasattr(app, "url_map"):
            return _merged(_flask(app))
    raise ConfigurationError(
        f"a {type(app).__name__} is no application of aiohttp, FastAPI, Starlette or Flask whose routes can be read"
    )


def _merged(found: Iterable[tuple[str, Iterable[str]]]) -> list[Endpoint]:
    methods: dict[str, list[str]] = {}
    for path, given in found:
        known = methods.setdefault(path or "/", [])
        known += [each for each in sorted(given) if each not in known]
    return [Endpoint(path=path, methods=given) for path, given in methods.items()]


def _starlette(routes: Iterable[Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Iterable[str]]]:
    """Routes, mounts of routers and of foreign applications, and WebSockets, which are GET with an upgrade."""
    if depth > _DEEPEST:
        raise ConfigurationError(f"the routers of this application stand more than {_DEEPEST} deep in one another")
    for route in routes:
        if hasattr(route, "effective_route_contexts"):  # how FastAPI keeps an included router
            contexts = route.effective_route_contexts()
            yield from _starlette((each.starlette_route or each for each in contexts), prefix, depth + 1)
            continue
        if not hasattr(route, "path"):  # a Host: its routes are for one host name
            yield from _starlette(getattr(route, "routes", ()), prefix, depth + 1)
            continue
        path = prefix + _STARLETTE.sub(_one_or_rest, route.path)
        inner = getattr(route, "routes", None)
        methods = getattr(route, "methods", None)
        if inner:
            yield from _starlette(inner, path, depth + 1)
        elif inner is not None:
            yield f"{path.rstrip('/')}/{{path:.*}}", ["*"]
        elif methods is None and not hasattr(route, "endpoint"):
            continue
        else:
            is_websocket = "websocket" in type(route).__name__.lower()
            yield path, methods or (["GET"] if is_websocket else ["*"])


def _one_or_rest(match: re.Match[str]) -> str:
    return f"{{{match[1]}:.*}}" if match[2] == "path" else f"{{{match[1]}}}"


def _flask(app: Any) -> Iterator[tuple[str, Iterable[str]]]:
    """HEAD and OPTIONS, which Flask adds to every rule, are left out."""
    for rule in app.url_map.iter_rules():
        path = _FLASK.sub(lambda match: f"{{{match[2]}:.*}}" if match[1] == "path" else f"{{{match[2]}}}", rule.rule)
        automatic = {"OPTIONS"} if getattr(rule, "provide_automatic_options", True) else set()
        yield path, (set(rule.methods or ("GET",)) - automatic) - {"HEAD"} or {"GET"}
