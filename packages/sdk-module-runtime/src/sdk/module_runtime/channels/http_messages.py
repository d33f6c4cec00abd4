"""HTTP requests that came as messages: bounded, kept until the application serves, ended before it goes.

They are carried into the server of the application, so that the same parser, limits, middlewares and handlers judge
them, and nothing of it has to know where a request came from.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.protocol.messages import HttpResponse
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiohttp import BaseConnector, StreamReader

    from sdk.module_runtime.protocol.messages import HttpRequest

_log = get_logger(__name__)

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of an answer that is sent as a message."""
AT_ONCE: Final = 64
HOP_BY_HOP: Final = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""They belong to one connection (RFC 9110 §7.6.1)."""
_NOT_CARRIED: Final = HOP_BY_HOP | {"content-length", "expect"}
"""A message carries the body as it is."""


def plain_session(connector: BaseConnector | None = None) -> ClientSession:
    """One that adds nothing to what a message says, keeps no cookies of one asker for another, and is never tired of
    waiting: who asked decides how long.
    """
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )


class HttpApplication:
    """An application that runs. ``address`` is where it is reached from outside: ``ip:port``, a path, or None.

    ``base`` is where ``session`` reaches it, by default over a socket of its own.
    """

    def __init__(self, address: str | None, session: ClientSession, base: str = "http://module") -> None:
        self.address = address
        self._session, self._base = session, base
        self._gate = asyncio.Semaphore(AT_ONCE)

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
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_CARRIED}
        url = URL(self._base + request.uri, encoded=True)
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


MOST_WAITING: Final = 256


class Asker(Protocol):
    """Where a request came from."""

    async def send(self, message: HttpResponse, /) -> None:
        """``LinkClosed`` if it is gone."""
        ...


class Requests:
    """The answer to each goes the way the request came, or ``elsewhere`` if that is lost meanwhile."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self.elsewhere: Callable[[HttpResponse], Awaitable[None]] | None = None
        self._stopping = stopping
        self._http: asyncio.Future[HttpApplication] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, http: HttpApplication) -> None:
        self._http.set_result(http)

    def take(self, request: HttpRequest, link: Asker) -> None:
        busy = len(self._tasks) >= MOST_WAITING or self._stopping.is_set()
        task = asyncio.create_task(self._refuse(request, link) if busy else self._answer(request, link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let those in flight end; who is not done then is cancelled."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _answer(self, request: HttpRequest, link: Asker) -> None:
        http = await asyncio.shield(self._http)
        answer = await http.answer(request)
        try:
            await link.send(answer)
        except LinkClosed:
            if self.elsewhere is not None:
                with contextlib.suppress(LinkClosed):  # nobody is left to read it
                    await self.elsewhere(answer)

    async def _refuse(self, request: HttpRequest, link: Asker) -> None:
        with contextlib.suppress(LinkClosed):
            await link.send(unavailable(request))


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
        if name.lower() in _NOT_CARRIED:
            continue
        before = joined.get(name)
        joined[name] = value if before is None or name.lower() == "set-cookie" else f"{before}, {value}"
    return joined


def unavailable(request: HttpRequest) -> HttpResponse:
    return _plain(request, 503, "this module takes no more requests now")


def _plain(request: HttpRequest, status: int, text: str) -> HttpResponse:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return HttpResponse(request_id=request.request_id, status_code=status, headers=headers, body=text.encode())
