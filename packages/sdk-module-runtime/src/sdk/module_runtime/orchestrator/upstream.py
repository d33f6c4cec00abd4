"""The ways of an HTTP request or a WebSocket to a module: its own port or socket, or (no WebSocket) messages."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWSTimeout,
    DummyCookieJar,
    TCPConnector,
    UnixConnector,
    WSServerHandshakeError,
)
from multidict import CIMultiDict
from yarl import URL

from sdk.module_runtime.channels.http_messages import MAX_BODY
from sdk.module_runtime.orchestrator.conversation import Unreachable
from sdk.module_runtime.orchestrator.forwarding import single
from sdk.module_runtime.protocol.init import SocketAddress, parse_socket_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientWebSocketResponse

    from sdk.module_runtime.orchestrator.conversation import Conversation

CONNECT_TIMEOUT: Final = 5.0
LARGEST_MESSAGE_BODY: Final = MAX_BODY
LARGEST_REFUSAL: Final = 65_536
"""Bytes of an answer to a WebSocket's handshake."""
_CHUNK: Final = 65_536
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class BodyTooLarge(Exception):
    """A body that may not be longer than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(limit)


class NotUpgraded(Exception):
    """The module's answer to the handshake of a WebSocket was another than to switch protocols."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        super().__init__(status)


@dataclass
class Answer:
    """``body`` is whole, or comes in chunks; ``close`` gives back what it came through."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | AsyncIterator[bytes]
    response: ClientResponse | None = None

    @property
    def is_event_stream(self) -> bool:
        """Server-sent events, which come when there are any and never end by themselves."""
        return self.response is not None and self.response.content_type == "text/event-stream"

    def close(self) -> None:
        if self.response is not None:
            self.response.close()


class Upstreams:
    """Connections to modules that serve on a port or a socket, kept for the next request.

    How many there are at once is bounded by whoever asks.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[Conversation, str, bool], ClientSession] = {}
        """By instance, path (empty for ports), and whether they are for WebSockets. Two instances of a module may have
        the same path or port, one after the other: what is connected is connected to one of them."""

    async def send(
        self,
        conversation: Conversation,
        method: str,
        uri: str,
        headers: Sequence[tuple[str, str]],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> Answer:
        """The answer of the module, which may have only begun. ``Unreachable``, ``BodyTooLarge``."""
        where = address_of(conversation)
        if where is None:
            return await self._as_message(conversation, method, uri, headers, body)
        return await self._direct(self._session(conversation, where), where, method, uri, headers, body)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def forget(self, conversation: Conversation) -> None:
        """The instance is gone, and whatever was connected to it."""
        for key in [key for key in self._sessions if key[0] is conversation]:
            await self._sessions.pop(key).close()

    async def websocket(
        self,
        conversation: Conversation,
        where: SocketAddress | str,
        uri: str,
        headers: Sequence[tuple[str, str]],
        protocols: Sequence[str],
        *,
        largest_message: int,
        close_within: float,
    ) -> ClientWebSocketResponse[bool]:
        """``Unreachable``; ``NotUpgraded`` with what the module has answered instead."""
        try:
            return await self._session(conversation, where, websocket=True).ws_connect(
                URL(_base(where) + uri, encoded=True),
                headers=CIMultiDict(headers),
                protocols=protocols,
                autoclose=False,
                autoping=False,
                max_msg_size=largest_message,
                decode_text=False,
                timeout=ClientWSTimeout(ws_close=close_within),
            )
        except WSServerHandshakeError as error:
            raise Unreachable(f"its handshake is wrong: {error.message}") from error
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    async def _direct(
        self,
        session: ClientSession,
        where: SocketAddress | str,
        method: str,
        uri: str,
        headers: Sequence[tuple[str, str]],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> Answer:
        try:
            response = await session.request(
                method,
                URL(_base(where) + uri, encoded=True),
                headers=CIMultiDict(headers),
                data=body,
                allow_redirects=False,
            )
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        if method != "HEAD" and response.content_length is not None and response.content_length <= _CHUNK:
            try:
                whole = await response.read()
            except (ClientError, OSError) as error:
                raise Unreachable(f"its answer broke off: {type(error).__name__}") from error
            return Answer(response.status, list(response.headers.items()), whole)
        chunks = response.content.iter_chunked(_CHUNK)
        return Answer(response.status, list(response.headers.items()), chunks, response)

    async def _as_message(
        self,
        conversation: Conversation,
        method: str,
        uri: str,
        headers: Sequence[tuple[str, str]],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> Answer:
        whole = await _whole(body) if body is not None and not isinstance(body, bytes) else body
        answer = await conversation.http(method, uri, single(headers), whole)
        if not 200 <= answer.status_code < 600:
            raise Unreachable(f"it answered with the status {answer.status_code}")
        if not all(_NAME.fullmatch(name) and not _CONTROL.search(value) for name, value in answer.headers.items()):
            raise Unreachable("it answered with a header that HTTP cannot carry")
        return Answer(answer.status_code, list(answer.headers.items()), answer.body or b"")

    def _session(
        self, conversation: Conversation, where: SocketAddress | str, *, websocket: bool = False
    ) -> ClientSession:
        path = where if isinstance(where, str) else ""
        session = self._sessions.get((conversation, path, websocket))
        if session is None:
            connector = UnixConnector(path, limit=0) if path else TCPConnector(limit=0)
            session = self._sessions[conversation, path, websocket] = _session(connector, websocket=websocket)
        return session


def address_of(conversation: Conversation) -> SocketAddress | str | None:
    """Where the module serves HTTP itself; None if only messages reach it.

    A path, or a port of this machine: whatever else a module announces, the gateway is no way to other machines. Who
    listens at all addresses (``0.0.0.0``) is asked at the loopback one.
    """
    announcement = conversation.announcement
    if announcement is None:
        return None
    listen = announcement.listen.removeprefix("http://").rstrip("/")
    address = parse_socket_address(listen)
    if address is not None:
        host = ipaddress.ip_address(address.host)
        if host.is_unspecified:
            address = SocketAddress("127.0.0.1" if host.version == 4 else "::1", address.port)
        return address if address.port and (host.is_loopback or host.is_unspecified) else None
    return listen if listen.startswith("/") else None


def _base(where: SocketAddress | str) -> str:
    if isinstance(where, str):
        return "http://module"
    return f"http://[{where.host}]:{where.port}" if ":" in where.host else f"http://{where.host}:{where.port}"


def _session(connector: TCPConnector | UnixConnector, *, websocket: bool) -> ClientSession:
    return ClientSession(
        connector=connector,
        middlewares=(_only_upgraded,) if websocket else (),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
    )


async def _only_upgraded(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """aiohttp follows redirects of a handshake, to wherever they lead, and forgets the body of a refusal."""
    response = await send(request)
    if response.status == 101:
        return response
    try:
        body = b""
        while len(body) < LARGEST_REFUSAL and (part := await response.content.read(LARGEST_REFUSAL - len(body))):
            body += part
    finally:
        response.close()
    raise NotUpgraded(response.status, list(response.headers.items()), body)


async def _whole(body: AsyncIterator[bytes]) -> bytes:
    parts, size = [], 0
    async for part in body:
        size += len(part)
        if size > LARGEST_MESSAGE_BODY:
            raise BodyTooLarge(LARGEST_MESSAGE_BODY)
        parts.append(part)
    return b"".join(parts)
