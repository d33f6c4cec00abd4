"""A port of one registered module, over which it answers HTTP in frames (spec/module-runtime.md §1.14).

A server made with the Rust SDK connects to where its registration told it, and says nothing: only the port tells who
it is. The first that comes has the port until it goes.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.channels.http_tcp import HttpTcpConnection
from sdk.module_runtime.errors import NotSent
from sdk.module_runtime.protocol.http_tcp import HttpTcpRequest
from sdk.module_runtime.protocol.messages import HttpResponse
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from sdk.module_runtime.channels.channel import Channel
    from sdk.module_runtime.protocol.messages import HttpRequest

_log = get_logger(__name__)
WAKE_AFTER: Final = 0.005


class OwnPort:
    """``close`` it. ``OSError`` if there is no port left."""

    def __init__(self, module_id: str, host: str) -> None:
        self._module_id = module_id
        self._connection: HttpTcpConnection | None = None
        self._socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def ask(self, request: HttpRequest) -> HttpResponse:
        """``LinkClosed``, ``ProtocolError``."""
        if self._connection is None:
            raise NotSent(f"{self._module_id} has not connected to its port {self.port}")
        answer = await self._connection.ask(
            HttpTcpRequest(
                request_id=request.request_id,
                method=request.method,
                uri=request.uri,
                headers=request.headers,
                body=request.body,
            )
        )
        return HttpResponse(
            request_id=answer.request_id, status_code=answer.status_code, headers=answer.headers, body=answer.body
        )

    async def close(self) -> None:
        server = await self._listening
        server.close()
        if self._connection is not None:
            self._connection.channel.abort("the module is not registered any more")
            await self._connection.channel.closed
        await server.wait_closed()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._accept, sock=self._socket)

    def _accept(self) -> Channel:
        connection = HttpTcpConnection(label=f"http over tcp of {self._module_id}", wake_after=WAKE_AFTER)
        connection.channel.opened = lambda: self._opened(connection)
        return connection.channel

    def _opened(self, connection: HttpTcpConnection) -> None:
        if self._connection is not None:
            _log.warning("own_port_taken", module_id=self._module_id, port=self.port)
            connection.channel.abort("somebody is connected already")
            return
        self._connection = connection
        connection.channel.closed.add_done_callback(lambda _: self._lost(connection))
        _log.info("own_port_connected", module_id=self._module_id, port=self.port)

    def _lost(self, connection: HttpTcpConnection) -> None:
        if self._connection is connection:
            self._connection = None
