"""Serving an application: bounded connections, one clear line for a taken port, a stop that drains."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from sdk.core.errors import ConfigurationError
from sdk.service.http_app.app import SERVICE
from sdk.service.http_app.connection_log import ConnectionLog
from sdk.service.http_app.limits import Limits
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from ssl import SSLContext

    from sdk.service.http_app.limits import RateLimiter

log = get_logger(__name__)

PROGRESS: Final = 64 * 1024
"""Bytes that a reader must take within ``Limits.write_timeout`` while more waits for it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class _Connection(RequestHandler):
    """aiohttp gives a client for ever to send its first request and to read its answers; this one does not."""

    def __init__(self, connections: _Connections, limits: Limits, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections = connections
        self._limits = limits
        self._patience: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._left = 0
        self._intake: tuple[RateLimiter, Callable[[], None]] | None = None
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own when it closes it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = self.transport
        self._connections.open.add(self)
        if self._connections.stopping:  # it was accepted just before the socket was closed
            self.force_close()
            return
        if len(self._connections.open) > self._limits.connections:
            self._connections.note("connections")
            self.force_close()
            return
        self._patience = asyncio.get_running_loop().call_later(self._limits.header_timeout, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.lost(self)
        self.headers_arrived()
        self._caught_up()
        self._wire = None
        super().connection_lost(exc)

    def bound_intake(self, limiter: RateLimiter, flooded: Callable[[], None]) -> None:
        """See ``app.bound_intake``."""
        self._intake = limiter, flooded

    def data_received(self, data: bytes) -> None:
        if self._intake is not None and self._intake[0].take("", len(data)) > 0:
            _, flooded = self._intake
            self._intake = None
            self._cut_off("flood")
            flooded()
            return
        super().data_received(data)

    def headers_arrived(self) -> None:
        """Called for each request that has come through the parser."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    @property
    def unread(self) -> int:
        """Bytes that wait for the client to read."""
        transport = self.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """The transport has more to send than it likes."""
        super().pause_writing()
        self._connections.behind.add(self)
        if sum(each.unread for each in self._connections.behind) > self._limits.unread:
            self._cut_off("unread")
        else:
            self._watch()

    def resume_writing(self) -> None:
        self._caught_up()
        super().resume_writing()

    def abort(self) -> None:
        """End it without waiting for the client to read what is left, nor for a handler that is at work."""
        if self._wire is not None:
            self._wire.abort()
        if self._task_handler is not None:
            self._task_handler.cancel()

    def _watch(self) -> None:
        self._left = self.unread
        self._reading = asyncio.get_running_loop().call_later(self._limits.write_timeout, self._look)

    def _look(self) -> None:
        if self.unread > self._left - PROGRESS:
            self._cut_off("slow_reader")
        else:
            self._watch()

    def _caught_up(self) -> None:
        self._connections.behind.discard(self)
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _cut_off(self, reason: str) -> None:
        log.info("a client was cut off", reason=reason, unread=self.unread)
        self._connections.note(reason)
        self.abort()


@dataclass(slots=True)
class _Connections:
    """``behind`` are those whose client has more to read than their transport likes to hold. ``note`` is told why one
    was refused or cut off."""

    note: Callable[[str], None]
    stopping: bool = False
    open: set[_Connection] = field(default_factory=set)
    behind: set[_Connection] = field(default_factory=set)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    def lost(self, connection: _Connection) -> None:
        self.open.discard(connection)
        if not self.open:
            self._gone.set()

    def abort(self) -> None:
        for each in [*self.open]:
            each.abort()

    async def all_gone(self) -> None:
        """The loop tells of each end in its next turn; one that was closed with something left to send, however little,
        is open until that is sent."""
        self._gone.clear()
        if self.open:
            await self._gone.wait()


@asynccontextmanager
async def running(
    app: web.Application,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ssl: SSLContext | None = None,
    drain: float = 10.0,
) -> AsyncIterator[Running]:
    """Serve while the block runs; port 0 takes a free one. Leaving it stops: no new connections, ``/readyz`` says so,
    requests in flight, and answers on their way, get up to ``drain`` seconds in all, then everything is closed. Of a
    request whose body is still on its way nothing more is read: it is refused at once.

    Raises ``ConfigurationError`` for a port that is taken, forbidden, or a host that is not here.
    """
    limits = app[SERVICE].limits if SERVICE in app else Limits()
    sock = listen(host, port)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        logger=ConnectionLog(),
        shutdown_timeout=drain + 5.0,  # for what goes on though cancelled; two timers at once confuse aiohttp
        keepalive_timeout=limits.keepalive_timeout,
        lingering_time=1.0,
    )
    try:
        await runner.setup()
        server, connections = await _accept(runner, sock, limits, ssl)
    except BaseException:
        await runner.cleanup()
        sock.close()
        raise
    bound = sock.getsockname()
    try:
        yield Running(host, bound[1], "http" if ssl is None else "https")
    finally:
        if SERVICE in app:
            app[SERVICE].stop()
        connections.stopping = True
        late = asyncio.get_running_loop().call_later(drain, connections.abort)
        await accept_no_more(sock)
        server.close()
        await runner.cleanup()
        await connections.all_gone()
        late.cancel()
        await server.wait_closed()


async def accept_no_more(sock: socket.socket) -> None:
    """CPython (seen in 3.11) forgets a connection that it has accepted when its server is closed before the protocol is
    made: the client would wait for ever. So those on their way are let in, and then closed like the others."""
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().remove_reader(sock)
    for _ in range(3):
        await asyncio.sleep(0)


async def _accept(
    runner: web.AppRunner, sock: socket.socket, limits: Limits, ssl: SSLContext | None
) -> tuple[asyncio.Server, _Connections]:
    metrics = runner.app[SERVICE].metrics if SERVICE in runner.app else None
    connections = _Connections(lambda reason: None if metrics is None else metrics.refused.labels(reason).inc())
    manager = runner.server
    if manager is None:
        raise ConfigurationError("the application could not be set up")
    loop = asyncio.get_running_loop()

    def connection() -> _Connection:
        return _Connection(connections, limits, manager, loop=loop, **manager._kwargs)

    return await loop.create_server(connection, sock=sock, ssl=ssl, backlog=1024), connections


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket. Raises ``ConfigurationError`` in one line that says what to do."""
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"{port} is no port: use 1 to 65535, or 0 for any that is free")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigurationError(f"{host}:{port} is no address to listen on: {error}") from error
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConfigurationError(_cannot_listen(host, port, error)) from error
    return sock


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program: stop it, or choose another port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights than this user has: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: use 127.0.0.1, or 0.0.0.0 for all"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"


async def serve(
    app: web.Application,
    host: str,
    port: int,
    *,
    ssl: SSLContext | None = None,
    drain: float = 10.0,
    ready: Callable[[Running], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT (or cancellation), then drain. ``ready`` is called once it accepts connections."""
    with stop_signals() as stop:
        async with running(app, host, port, ssl=ssl, drain=drain) as server:
            log.info("listening", url=server.url)
            if ready is not None:
                ready(server)
            await stop.wait()
            log.info("stopping", url=server.url)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for each in signals:
        with suppress(NotImplementedError, RuntimeError):  # not the main thread, or Windows
            loop.add_signal_handler(each, stop.set)
    try:
        yield stop
    finally:
        for each in signals:
            with suppress(NotImplementedError, RuntimeError):
                loop.remove_signal_handler(each)
