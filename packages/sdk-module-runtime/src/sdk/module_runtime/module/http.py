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

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web
from yarl import URL

from sdk.module_runtime.port_negotiation.inherited import inherited_sockets
from sdk.module_runtime.port_negotiation.listener import open_listener
from sdk.module_runtime.protocol.messages import HttpResponse
from sdk.module_runtime.protocol.services import Endpoint
from sdk.module_runtime.socket_folder import SocketFolder
from sdk.service.http_app import ConnectionLog, listen
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp import StreamReader

    from sdk.module_runtime.port_negotiation.negotiator import PortNegotiator
    from sdk.module_runtime.protocol.init import SocketAddress
    from sdk.module_runtime.protocol.messages import HttpRequest

_log = get_logger(__name__)

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of an answer that is sent as a message."""
_AT_ONCE: Final = 64
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "expect",
    }
)
"""They belong to one connection; a message carries the body as it is."""


class HttpApplication:
    """An application that runs. ``address`` is where it is reached from outside: ``ip:port``, a path, or None."""

    def __init__(self, address: str | None, session: ClientSession) -> None:
        self.address = address
        self._session = session
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Never raises: what the application cannot answer is a status of its own."""
        async with self._gate:
            try:
                return await self._answer(request)
            except (ClientError, ValueError, OSError) as error:
                # ValueError: a method or header that HTTP cannot carry
                _log.warning("request_not_carried", request_id=request.request_id, reason=type(error).__name__)
                return _plain(request, 400, "this request cannot be carried as HTTP")

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if not request.uri.startswith("/"):
            return _plain(request, 400, "the uri must begin with /")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = URL("http://module" + request.uri, encoded=True)
        async with self._session.request(
            request.method, url, headers=headers, data=request.body, allow_redirects=False
        ) as response:
            if response.content_type == "text/event-stream":
                return _plain(request, 501, "a message carries no event stream, as it never ends; ask over a port")
            body = await _bounded(response.content)
            if body is None:
                return _plain(request, 502, f"the answer is longer than {MAX_BODY} bytes; ask for it over the port")
            return HttpResponse(
                request_id=request.request_id,
                status_code=response.status,
                headers=_joined(response.headers.items()),
                body=body,
            )


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
    requests in flight get up to ``drain`` seconds.
    """
    runner = web.AppRunner(app, handle_signals=False, access_log=None, logger=ConnectionLog(), shutdown_timeout=drain)
    with closing(SocketFolder()) as private:
        inner = str(private.path / "http")
        try:
            await runner.setup()
            await web.UnixSite(runner, inner).start()
            reached = await _bind(runner, address, negotiator)
            connector = UnixConnector(inner, limit=_AT_ONCE)
            timeout = ClientTimeout(total=None)  # who asked decides how long it waits
            async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
                yield HttpApplication(reached, session)
        finally:
            await runner.cleanup()


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
) -> str | None:
    if address is None:
        return None
    for passed in inherited_sockets().values():
        await web.SockSite(runner, passed).start()
        name = passed.getsockname()
        return _text(name[0], name[1]) if isinstance(name, tuple) else os.fsdecode(name)
    if isinstance(address, str):
        await web.UnixSite(runner, address).start()
        return address
    if negotiator is None:
        sock = listen(address.host, address.port)
    else:
        sock = (await open_listener(address.host, address.port, negotiator=negotiator)).socket
    await web.SockSite(runner, sock).start()
    return _text(address.host, sock.getsockname()[1])


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _bounded(content: StreamReader) -> bytes | None:
    parts, size = [], 0
    while part := await content.read(1 << 16):
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A message has each header once: repeated ones are joined, and of cookies, which cannot be, the last is kept."""
    joined: dict[str, str] = {}
    for name, value in headers:
        if name.lower() in _HOP_BY_HOP:
            continue
        before = joined.get(name)
        joined[name] = value if before is None or name.lower() == "set-cookie" else f"{before}, {value}"
    return joined


def unavailable(request: HttpRequest) -> HttpResponse:
    return _plain(request, 503, "this module takes no more requests now")


def _plain(request: HttpRequest, status: int, text: str) -> HttpResponse:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return HttpResponse(request_id=request.request_id, status_code=status, headers=headers, body=text.encode())
