"""Serving the application to HTTP in frames: ``Message<HttpTcpRequest>`` in, ``Message<HttpTcpResponse>`` out.

Each request goes the way of those that come as messages, through ``Requests`` into the one server, so that it meets the
same limits, middlewares and drain. Who asks here can take nothing from the orchestrator: the places are its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.http_messages import Requests
from sdk.module_runtime.channels.sockets import listen_tcp, listen_unix
from sdk.module_runtime.channels.tls import CA, TlsFiles, server_context
from sdk.module_runtime.errors import NotSent, ProtocolError
from sdk.module_runtime.protocol.http_tcp import HttpTcpResponse, decode_request, wrapped
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.module_runtime.protocol.messages import HttpRequest
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from ssl import SSLContext

    from sdk.module_runtime.channels.http_messages import HttpApplication
    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.messages import HttpResponse

_log = get_logger(__name__)
MOST_CONNECTIONS: Final = 64
MOST_OF_ONE: Final = 64
"""Requests of one connection on their way; it is not read until half of them are answered."""
LARGEST_FRAME: Final = 8 * 1024 * 1024
"""Bytes, which is a body of 2 MiB at worst; what is larger comes over the port."""
MOST_UNREAD: Final = 64 * 1024 * 1024
"""Bytes of answers that one connection has not read."""
PATIENCE: Final = 15.0
"""Seconds between looks; what was half-sent or unread at one and still is at the next ends the connection."""


class AskingPeer:
    """One connection over which requests come, whoever opened it. Bytes that are no request end it.

    It is not read while too many of its requests are on their way, or too much of what it is sent lies unread.
    """

    def __init__(self, requests: Requests, *, label: str = "http over tcp") -> None:
        self._requests = requests
        self._unanswered = self._moved = 0
        self._stood_at: int | None = None
        self._is_held = False
        self._reading: asyncio.Task[None] | None = None
        self.channel = Channel(self._take, label=label, max_payload=LARGEST_FRAME, most_queued=MOST_UNREAD)

    async def send(self, message: HttpResponse) -> None:
        """Queued at once: a peer that does not read keeps no place among the requests. ``NotSent``."""
        self._unanswered -= 1
        answer = HttpTcpResponse(
            request_id=message.request_id,
            status_code=message.status_code,
            headers=message.headers,
            body=message.body or None,
        )
        try:
            self.channel.send(wrapped(answer))
        except NotSent as error:
            self.channel.abort(str(error))
            raise
        if not self.channel.is_writable and self._reading is None:
            self._reading = asyncio.create_task(self._until_read())
        self._judge()

    def sweep(self) -> None:
        """Called every ``PATIENCE`` seconds: it is cut where the same frame or answer stands as last time."""
        stands = self._reading is not None or (self.channel.is_within_frame and not self._is_held)
        if stands and self._moved == self._stood_at:
            _log.warning("http_tcp_peer_too_slow", channel=self.channel.label)
            self.channel.abort("a frame or an answer took too long")
        self._stood_at = self._moved if stands else None

    async def _until_read(self) -> None:
        await self.channel.drain()
        self._reading = None
        self._moved += 1
        self._judge()

    def _judge(self) -> None:
        most = MOST_OF_ONE // 2 if self._is_held else MOST_OF_ONE - 1
        held = self._reading is not None or self._unanswered > most
        if held is not self._is_held:
            self._is_held = held
            self.channel.hold(held)

    def _take(self, frame: Frame) -> None:
        try:
            request = decode_request(frame)
        except ProtocolError as error:
            _log.warning("http_tcp_peer_refused", channel=self.channel.label, reason=str(error))
            self.channel.abort(str(error))
            return
        self._moved += 1
        self._unanswered += 1
        self._judge()
        message = HttpRequest(
            request_id=request.request_id,
            method=request.method,
            uri=request.uri,
            headers=request.headers,
            body=request.body,
        )
        self._requests.take(message, self)


class HttpTcpServer:
    """Those who ask, and the places they share."""

    def __init__(self, http: HttpApplication, stopping: asyncio.Event) -> None:
        self.address: str | None = None
        """Where it listens: ``ip:port`` or a path."""
        self._requests = Requests(stopping)
        self._requests.serve(http)
        self._peers: set[AskingPeer] = set()

    def accept(self, label: str = "http over tcp") -> Channel:
        peer = AskingPeer(self._requests, label=label)
        peer.channel.opened = lambda: self._opened(peer)
        return peer.channel

    def _opened(self, peer: AskingPeer) -> None:
        if len(self._peers) >= MOST_CONNECTIONS:
            peer.channel.abort("too many connections")
        self._peers.add(peer)
        peer.channel.closed.add_done_callback(lambda _: self._peers.discard(peer))

    async def watch(self, every: float = PATIENCE) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(every)
            for peer in list(self._peers):
                peer.sweep()

    async def drain(self, seconds: float) -> None:
        """Let requests in flight end, and their answers leave."""
        await self._requests.drain(seconds)
        for peer in list(self._peers):
            peer.channel.close("the module ends")

    async def close(self) -> None:
        closed = [peer.channel.closed for peer in self._peers]
        for peer in list(self._peers):
            peer.channel.abort("the module ends")
        await asyncio.gather(*closed)


@asynccontextmanager
async def serving_frames(
    http: HttpApplication, address: str | None, stopping: asyncio.Event, environ: Mapping[str, str]
) -> AsyncIterator[HttpTcpServer]:
    """Listen at ``ip:port`` or the path of a unix socket while the block runs; nowhere without an address.

    With the TLS variables of ``channels.tls`` who asks must show a certificate of the CA. Without them only this
    machine can ask. ``ConfigurationError``.
    """
    server = HttpTcpServer(http, stopping)
    listener = None if address is None else await _listen(server, address, environ)
    watching = asyncio.create_task(server.watch())
    try:
        if listener is not None:
            _log.info("http_tcp_listening", address=server.address)
        yield server
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if listener is not None:
            listener.close()
        await server.close()
        if listener is not None:
            await listener.wait_closed()


async def _listen(server: HttpTcpServer, address: str, environ: Mapping[str, str]) -> asyncio.Server:
    place = parse_socket_address(address)
    if place is None and "/" not in address:
        raise ConfigurationError(f"HTTP in frames at {address}: give ip:port, or the path of a unix socket")
    try:
        if place is None:
            listener = await listen_unix(server.accept, address)
            server.address = address
            return listener
        context = _context(address, ipaddress.ip_address(place.host).is_loopback, environ)
        listener, port = await listen_tcp(server.accept, place.host, place.port, ssl=context)
    except OSError as error:
        raise ConfigurationError(f"HTTP in frames at {address}: {error.strerror or error}") from error
    server.address = f"[{place.host}]:{port}" if ":" in place.host else f"{place.host}:{port}"
    return listener


def _context(address: str, is_local: bool, environ: Mapping[str, str]) -> SSLContext | None:
    if CA in environ:
        return server_context(TlsFiles.from_env(environ), mutual=True)
    if not is_local:
        raise ConfigurationError(f"HTTP in frames at {address} is for other machines, which needs TLS: set {CA}")
    return None
