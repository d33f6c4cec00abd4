"""How a module that no orchestrator started makes itself known to one (spec/module-runtime.md §1.15)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import connect
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ProtocolError, RuntimeModuleError
from sdk.module_runtime.protocol import registration as wire
from sdk.module_runtime.protocol.envelope import Message, MessageMetadata
from sdk.module_runtime.protocol.formats import Format, convert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.init import SocketAddress
    from sdk.module_runtime.protocol.model import WireStruct

TIMEOUT: Final = 30.0
LARGEST_ANSWER: Final = 1024 * 1024
R = TypeVar("R", bound=wire.Response)


class RegistrationRefused(RuntimeModuleError):
    """The orchestrator said no: the name is taken, the key or the token is wrong, or it is full."""

    code = "ERR_REGISTRATION_REFUSED"

    def __init__(self, request: str, reason: str) -> None:
        self.request, self.reason = request, reason
        super().__init__(request, reason)

    def __str__(self) -> str:
        return f"the orchestrator refused the request {self.request!r}: {self.reason}"


class Registration:
    """One request at a time over one connection, which is opened when it is needed.

    An answer does not say what it belongs to, so a connection on which one stayed out is not used again. Every request
    raises ``RegistrationRefused``, ``LinkClosed``, ``LinkTimeout`` or ``ProtocolError``.
    """

    def __init__(
        self,
        address: SocketAddress,
        *,
        ssl: SSLContext | None = None,
        server_name: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._address, self._ssl, self._server_name, self._timeout = address, ssl, server_name, timeout
        self._turn = asyncio.Lock()
        self._channel: Channel | None = None
        self._answer: asyncio.Future[Frame] | None = None

    async def register(self, info: wire.ModuleInfo) -> wire.RegisteredModule:
        """The id and the token that prove the module from now on."""
        answer = await self._ask(wire.RegistrationRequest(module_info=info), wire.RegistrationResponse)
        if answer.module is None:
            raise ProtocolError("RegistrationResponse", "success without a module")
        return answer.module

    async def heartbeat(
        self, module: wire.RegisteredModule, status: wire.HealthStatus, details: Mapping[str, str] | None = None
    ) -> wire.HeartbeatResponse:
        shown = None if details is None else dict(details)
        request = wire.HeartbeatRequest(module_id=module.id, token=module.token, status=status, details=shown)
        return await self._ask(request, wire.HeartbeatResponse)

    async def advertise(self, module: wire.RegisteredModule, capabilities: wire.Capabilities) -> None:
        request = wire.CapabilitiesRequest(module_id=module.id, token=module.token, capabilities=capabilities)
        await self._ask(request, wire.CapabilitiesResponse)

    async def unregister(self, module: wire.RegisteredModule) -> None:
        request = wire.UnregistrationRequest(module_id=module.id, token=module.token)
        await self._ask(request, wire.UnregistrationResponse)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    async def _ask(self, request: WireStruct, answer_type: type[R]) -> R:
        name = str(getattr(request, "request_type", type(request).__name__))
        wrapped = Message[type(request)].wrap(request, MessageMetadata(id=str(uuid4())))  # type: ignore[misc]
        async with self._turn:
            frame = await self._exchange(wrapped.to_json(), name)
        answer = answer_type.from_json(convert(frame.payload, frame.format, Format.JSON))
        if not answer.success:
            raise RegistrationRefused(name, answer.error or "it gave no reason")
        return answer

    async def _exchange(self, request: bytes, name: str) -> Frame:
        channel = await self._connected()
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout):
                channel.send(request)
                either: set[asyncio.Future[Any]] = {self._answer, channel.closed}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise LinkTimeout(f"no answer to {name} within {self._timeout:g} seconds") from None
        finally:
            answer, self._answer = self._answer, None
            if not answer.done():
                channel.abort("an answer did not come")
        if not answer.done():
            raise LinkClosed(f"the orchestrator ended the connection before it answered {name}: {await channel.closed}")
        return answer.result()

    async def _connected(self) -> Channel:
        if self._channel is None or not self._channel.is_open:
            self._channel = await connect(
                lambda: Channel(self._take, label="registration", max_payload=LARGEST_ANSWER),
                self._address,
                ssl=self._ssl,
                server_name=self._server_name,
                timeout=self._timeout,
            )
        return self._channel

    def _take(self, frame: Frame) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(frame)
        elif self._channel is not None:
            self._channel.abort("an answer to nothing")
