"""Opening channels: to an address, or for whoever comes to one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.errors import LinkClosed, LinkTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from sdk.module_runtime.channels.channel import Channel
    from sdk.module_runtime.protocol.init import SocketAddress

CONNECT_TIMEOUT: Final = 30.0


async def connect(
    channel: Callable[[], Channel],
    address: SocketAddress | str,
    *,
    ssl: SSLContext | None = None,
    server_name: str | None = None,
    timeout: float = CONNECT_TIMEOUT,
) -> Channel:
    """A channel to ``ip:port`` or the path of a unix socket. ``LinkClosed`` if nobody is there, ``LinkTimeout``.

    With ``ssl`` the peer's certificate must be for ``server_name``, by default for the address itself.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if isinstance(address, str):
                _, opened = await loop.create_unix_connection(channel, address)
            else:
                name = (server_name or address.host) if ssl is not None else None
                transport, opened = await loop.create_connection(channel, *address, ssl=ssl, server_hostname=name)
                _notice_loss(transport.get_extra_info("socket"))
    except TimeoutError:
        raise LinkTimeout(f"no connection to {_text(address)} within {timeout:g} seconds") from None
    except OSError as error:  # an SSLError is one
        raise LinkClosed(f"no connection to {_text(address)}: {error.strerror or type(error).__name__}") from error
    return opened


async def listen_unix(channel: Callable[[], Channel], path: str) -> asyncio.Server:
    """Only this user can connect. A socket that an earlier process left there is taken away."""
    sock = bind_unix(path)
    try:
        return await asyncio.get_running_loop().create_unix_server(channel, sock=sock)
    except BaseException:
        sock.close()
        raise


def bind_unix(path: str) -> socket.socket:
    """A bound unix socket for this user alone. Nothing is awaited here: the umask is the whole process's."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        sock.bind(path)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


async def listen_tcp(
    channel: Callable[[], Channel], host: str = "127.0.0.1", port: int = 0, *, ssl: SSLContext | None = None
) -> tuple[asyncio.Server, int]:
    """The server and the port it really has."""
    server = await asyncio.get_running_loop().create_server(channel, host, port, ssl=ssl, family=socket.AF_UNSPEC)
    return server, server.sockets[0].getsockname()[1]


def _notice_loss(connected: socket.socket) -> None:
    """A peer that vanished without a word is noticed within a minute, whether anything is sent or not."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _text(address: SocketAddress | str) -> str:
    return address if isinstance(address, str) else f"{address.host}:{address.port}"
