"""Asking over HTTP in frames (spec/module-runtime.md §1.14): one connection, and a pool of them.

Many requests are on their way over one connection, and an answer is for whoever its ``request_id`` names, or for
nobody. The Rust client takes any answer for its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import connect
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, NotSent, ProtocolError, RuntimeModuleError
from sdk.module_runtime.pending import Pending
from sdk.module_runtime.protocol.http_tcp import (
    BYTES_OF_A_BYTE,
    ApiResponse,
    HttpTcpRequest,
    decode_response,
    wrapped,
)
from sdk.module_runtime.protocol.json_text import parse_json, write_json
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from ssl import SSLContext

    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.http_tcp import (
        HttpTcpResponse,
    )
    from sdk.module_runtime.protocol.init import SocketAddress

_log = get_logger(__name__)
TIMEOUT: Final = 30.0
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
LARGEST_BODY: Final = 8 * 1024 * 1024
LARGEST_HEADERS: Final = 256 * 1024
"""Bytes of a frame beside its body."""
CROWDED: Final = 16
"""Requests on their way over a connection, from which another one is opened if there may be more."""
LONGEST_SLEEP: Final = 1.0
_LATE: Final = 1024
SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that change nothing (RFC 9110 §9.2.1), so that asking twice does no harm."""
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_RESERVED: Final = "/%:@!$&'()*+,;=-._~?"


class HttpTcpFailed(RuntimeModuleError):
    """The server answered with a status from 400."""

    code = "ERR_HTTP_TCP"

    def __init__(self, status_code: int, reason: str) -> None:
        self.status_code, self.reason = status_code, reason
        super().__init__(status_code, reason)

    def __str__(self) -> str:
        return f"the server answered with {self.status_code}: {self.reason}"


class HttpTcpConnection:
    """Requests over one connection, which somebody opened, and their answers.

    An answer to what was never asked, or that is none, ends the connection: nothing that follows could be believed.
    """

    def __init__(
        self, *, label: str = "http over tcp", largest_body: int = LARGEST_BODY, wake_after: float | None = None
    ) -> None:
        """``wake_after``: seconds after which a silent server is sent a request without effect, for one made with the
        Rust SDK writes an answer only once it has heard something more.
        """
        self.channel = Channel(self._take, label=label, max_payload=BYTES_OF_A_BYTE * largest_body + LARGEST_HEADERS)
        self.channel.closed.add_done_callback(lambda _: self._pending.close())
        self._largest_body, self._wake_after = largest_body, wake_after
        self._pending: Pending[str, HttpTcpResponse] = Pending()
        self._late: OrderedDict[str, None] = OrderedDict()

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    async def ask(self, request: HttpTcpRequest) -> HttpTcpResponse:
        """Waits for as long as it takes. ``NotSent``, ``LinkClosed``, or ``ProtocolError`` for an impossible status."""
        if not self.channel.is_open:
            raise NotSent(f"the {self.channel.label} connection is closed")
        with self._pending.expecting(request.request_id) as answer:
            self.channel.send(wrapped(request))
            try:
                await self.channel.drain()
                found = await (answer if self._wake_after is None else self._awakened(answer, self._wake_after))
            finally:
                if not answer.done() or answer.cancelled():
                    self._expect_late(request.request_id)
        if not 200 <= found.status_code < 600:
            raise ProtocolError("HttpTcpResponse", f"the status {found.status_code}")
        return found

    async def _awakened(self, answer: asyncio.Future[HttpTcpResponse], seconds: float) -> HttpTcpResponse:
        while not answer.done():
            await asyncio.wait((answer,), timeout=seconds)
            if not answer.done():
                nothing = HttpTcpRequest(request_id=str(uuid4()), method="OPTIONS", uri="*", headers={})
                self._expect_late(nothing.request_id)
                with contextlib.suppress(NotSent):  # the request itself has left; its answer tells what becomes of it
                    self.channel.send(wrapped(nothing))
                seconds = min(2 * seconds, LONGEST_SLEEP)
        return answer.result()

    def _expect_late(self, request_id: str) -> None:
        """Nobody waits for it any more, but it may come."""
        self._late[request_id] = None
        if len(self._late) > _LATE:
            self._late.popitem(last=False)

    def _take(self, frame: Frame) -> None:
        try:
            answer = decode_response(frame)
            if len(answer.body or b"") > self._largest_body:
                raise ProtocolError("HttpTcpResponse", f"a body of more than {self._largest_body} bytes")
        except ProtocolError as error:
            self._end(str(error))
            return
        if self._pending.answer(answer.request_id, answer):
            return
        if answer.request_id not in self._late:
            self._end("an answer to a request that was never made")
            return
        del self._late[answer.request_id]

    def _end(self, reason: str) -> None:
        _log.warning("http_tcp_connection_ended", channel=self.channel.label, reason=reason)
        self.channel.abort(reason)


class HttpTcpClient:
    """A pool of connections to one server. ``async with``, or ``close`` it.

    A request is made again, up to ``retries`` times, if it did not leave, or if its method is ``SAFE``. ``timeout``
    (seconds) is for each attempt, connecting and waiting for a place included.
    """

    def __init__(
        self,
        address: SocketAddress | str,
        *,
        ssl: SSLContext | None = None,
        server_name: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = 2,
        connections: int = 4,
        in_flight: int = 256,
        largest_body: int = LARGEST_BODY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._address, self._ssl, self._server_name = address, ssl, server_name
        self._timeout, self._retries, self._most = timeout, retries, connections
        self._largest_body, self._sleep, self._jitter = largest_body, sleep, jitter
        self._gate = asyncio.Semaphore(in_flight)
        self._opening = asyncio.Lock()
        self._connections: list[HttpTcpConnection] = []

    async def request(
        self,
        method: str,
        uri: str,
        *,
        query: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> HttpTcpResponse:
        """The answer, whatever its status. ``LinkClosed``, ``LinkTimeout``, ``ProtocolError``; ``ValueError`` for what
        HTTP cannot carry. ``query`` and what is not ASCII in ``uri`` are percent-encoded.
        """
        target = with_query(uri, query)
        sent = checked_headers(method, headers or {})
        if json is not None:
            body = write_json(json, "body")
            if not any(name.lower() == "content-type" for name in sent):
                sent["Content-Type"] = "application/json"
        if len(body or b"") > self._largest_body:
            raise ValueError(f"a body of {len(body or b'')} bytes is over the limit of {self._largest_body}")
        left = self._retries if retries is None else retries
        pause = FIRST_PAUSE
        while True:
            request = HttpTcpRequest(request_id=str(uuid4()), method=method, uri=target, headers=sent, body=body)
            try:
                return await self._once(request, timeout or self._timeout)
            except (LinkClosed, LinkTimeout) as error:
                if left <= 0 or not (method in SAFE or isinstance(error, NotSent)):
                    raise
                _log.debug("http_tcp_retry", method=method, reason=str(error))
            left -= 1
            await self._sleep(pause * (0.95 + self._jitter() / 10))
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def request_json(self, method: str, uri: str, **given: Any) -> Any:
        """The JSON value of the answer. Beyond what ``request`` raises, ``HttpTcpFailed`` for a status from 400."""
        answer = await self.request(method, uri, **given)
        if answer.status_code >= 400:
            raise HttpTcpFailed(answer.status_code, _reason(answer))
        return parse_json(answer.body or b"", "body of an answer")

    async def close(self) -> None:
        """Requests on their way get ``LinkClosed``."""
        for each in self._connections:
            each.channel.abort("closed here")
        await asyncio.gather(*(each.channel.closed for each in self._connections))
        self._connections.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _once(self, request: HttpTcpRequest, seconds: float) -> HttpTcpResponse:
        try:
            async with asyncio.timeout(seconds), self._gate:
                connection = self._free() or await self._open(seconds)
                return await connection.ask(request)
        except TimeoutError:
            raise LinkTimeout(f"no answer to {request.method} within {seconds:g} seconds") from None

    def _free(self) -> HttpTcpConnection | None:
        """The connection with the fewest requests, unless all are crowded and there may be another."""
        self._connections = [each for each in self._connections if each.channel.is_open]
        least = min(self._connections, key=lambda each: each.in_flight, default=None)
        if least is not None and least.in_flight >= CROWDED and len(self._connections) < self._most:
            return None
        return least

    async def _open(self, seconds: float) -> HttpTcpConnection:
        """``NotSent`` if nobody is there."""
        async with self._opening:
            found = self._free()  # who waited for the turn may find what another has opened
            if found is not None:
                return found
            connection = HttpTcpConnection(largest_body=self._largest_body)
            try:
                await connect(
                    lambda: connection.channel,
                    self._address,
                    ssl=self._ssl,
                    server_name=self._server_name,
                    timeout=seconds,
                )
            except LinkClosed as error:
                raise NotSent(str(error)) from error
            self._connections.append(connection)
            return connection


def with_query(uri: str, query: Mapping[str, object] | Iterable[tuple[str, object]] | None) -> str:
    """``ValueError`` for what is no path. Escapes that stand in ``uri`` are kept."""
    if not uri.startswith("/") and uri != "*":
        raise ValueError(f"the uri must begin with /: {uri!r}")
    if "#" in uri or _CONTROL.search(uri):
        raise ValueError("a uri has no fragment and no control characters")
    encoded = quote(uri, safe=_RESERVED)
    pairs = urlencode(query if query is not None else (), quote_via=quote)  # type: ignore[arg-type]
    if not pairs:
        return encoded
    separator = "?" if "?" not in encoded else "" if encoded.endswith(("?", "&")) else "&"
    return f"{encoded}{separator}{pairs}"


def checked_headers(method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """``ValueError`` for a method or header that HTTP cannot carry."""
    if not _TOKEN.fullmatch(method):
        raise ValueError("the method is no HTTP token")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise ValueError(f"HTTP cannot carry the header {name!r}")
    return dict(headers)


def _reason(answer: HttpTcpResponse) -> str:
    """What the server says, in the form Rust answers with, or as text."""
    body = answer.body or b""
    try:
        message = ApiResponse.from_json(body).message
    except ProtocolError:
        message = None
    return message or body[:200].decode("utf-8", "replace") or "it gave no reason"
