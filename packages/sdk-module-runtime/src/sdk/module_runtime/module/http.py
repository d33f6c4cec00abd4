"""One application, served on a port or a socket, and to requests that arrive as messages.

Requests that are messages go through a private unix socket into the same server: the same parser, limits, middlewares
and handlers judge them, and nothing of the application has to know where a request came from.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Final

from aiohttp import UnixConnector, web

from sdk.module_runtime.channels.http_messages import AT_ONCE, HttpApplication, plain_session
from sdk.module_runtime.port_negotiation.inherited import inherited_sockets
from sdk.module_runtime.port_negotiation.listener import open_listener
from sdk.module_runtime.protocol.services import Endpoint
from sdk.module_runtime.socket_folder import SocketFolder
from sdk.service.http_app import ConnectionLog, listen
from sdk.service.http_app.server import accept_no_more

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from aiohttp.web_protocol import RequestHandler

    from sdk.module_runtime.port_negotiation.negotiator import PortNegotiator
    from sdk.module_runtime.protocol.init import SocketAddress

FIRST_WORD: Final = 1.0
"""Seconds that a new connection has for its first request when the module ends."""
LOOK_EVERY: Final = 0.01
_UNTIL_BEGUN: Final = 3
"""Turns of the loop from a request's last byte until aiohttp has begun with it."""


@asynccontextmanager
async def serving(
    app: web.Application,
    address: SocketAddress | str | None,
    *,
    drain: float,
    negotiator: PortNegotiator | None = None,
) -> AsyncIterator[HttpApplication]:
    """Serve while the block runs, at an address, the path of a unix socket, or to messages alone.

    Port 0 takes any that is free, and a socket that was passed to this process is taken before any. A port that is
    taken is replaced if there is a ``negotiator``. ``ConfigurationError`` for an address that cannot be had. When left,
    requests in flight get up to ``drain`` seconds, and who has just connected is heard.
    """
    runner = web.AppRunner(app, handle_signals=False, access_log=None, logger=ConnectionLog(), shutdown_timeout=drain)
    with closing(SocketFolder()) as private:
        inner = str(private.path / "http")
        try:
            await runner.setup()
            await web.UnixSite(runner, inner).start()
            reached, bound = await _bind(runner, address, negotiator)
            connector = UnixConnector(inner, limit=AT_ONCE)
            async with plain_session(connector) as session:
                try:
                    yield HttpApplication(reached, session)
                finally:
                    if bound is not None:
                        await _hear_out(runner, bound)
        finally:
            await runner.cleanup()


async def _hear_out(runner: web.AppRunner, bound: socket.socket) -> None:
    """Let nobody in any more, and wait a moment for the requests of those who were let in and have not asked yet: they
    are no idle connections, which aiohttp would take them for and close.
    """
    await accept_no_more(bound)
    server, loop = runner.server, asyncio.get_running_loop()
    end = loop.time() + FIRST_WORD
    while server is not None and any(map(_has_asked_nothing, server.connections)) and loop.time() < end:  # noqa: ASYNC110 - aiohttp tells nobody
        await asyncio.sleep(LOOK_EVERY)
    for _ in range(_UNTIL_BEGUN):
        await asyncio.sleep(0)


def _has_asked_nothing(connection: RequestHandler) -> bool:
    return getattr(connection, "_request_count", 1) == 0  # aiohttp tells it nobody else


def endpoints_of(app: web.Application) -> list[Endpoint]:
    """What the application routes, by path. A path that takes whatever follows ends in ``{name:.*}``."""
    found: dict[str, list[str]] = {}
    for route in app.router.routes():
        if route.resource is not None:
            methods = found.setdefault(_path(route.resource), [])
            methods += [] if route.method in methods else [route.method]
    return [Endpoint(path=path, methods=methods) for path, methods in found.items()]


def _path(resource: web.AbstractResource) -> str:
    path, info = resource.canonical, resource.get_info()
    if "directory" in info:
        return path.rstrip("/") + "/{path:.*}"
    pattern = info.get("pattern")
    if pattern is not None and path.endswith("}"):
        name = path[path.rindex("{") + 1 : -1]
        last = pattern.pattern.rpartition(f"(?P<{name}>")[2].removesuffix(")")
        if re.fullmatch(last, "any/thing"):
            return f"{path[:-1]}:.*}}"
    return path


async def _bind(
    runner: web.AppRunner, address: SocketAddress | str | None, negotiator: PortNegotiator | None
) -> tuple[str | None, socket.socket | None]:
    """Where it is reached, and the socket of a port."""
    if address is None:
        return None, None
    for passed in inherited_sockets().values():
        await web.SockSite(runner, passed).start()
        name = passed.getsockname()
        return _text(name[0], name[1]) if isinstance(name, tuple) else os.fsdecode(name), passed
    if isinstance(address, str):
        await web.UnixSite(runner, address).start()
        return address, None
    if negotiator is None:
        sock = listen(address.host, address.port)
    else:
        sock = (await open_listener(address.host, address.port, negotiator=negotiator)).socket
    await web.SockSite(runner, sock).start()
    return _text(address.host, sock.getsockname()[1]), sock


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
