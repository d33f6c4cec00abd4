"""The orchestrator's half of the talk with one module. What carries the messages are its transports."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import SdkError
from sdk.module_runtime.channels.allowance import Allowance
from sdk.module_runtime.errors import LinkClosed, ProtocolError, RuntimeModuleError, ServiceOperationFailed
from sdk.module_runtime.orchestrator.happenings import Happening
from sdk.module_runtime.orchestrator.lanes import Lanes
from sdk.module_runtime.orchestrator.logs import LONGEST_LINE
from sdk.module_runtime.orchestrator.service_desk import ServiceDesk, answer_to, lane_of
from sdk.module_runtime.protocol import extensions, messages
from sdk.module_runtime.protocol.formats import EncodedMessage
from sdk.module_runtime.protocol.model import WireStruct, WireUuid
from sdk.module_runtime.protocol.streaming import StreamAck, StreamChunk
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sdk.module_runtime.orchestrator.switchboard import Switchboard
    from sdk.module_runtime.orchestrator.transports import Transport

_log = get_logger(__name__)
MOST_WAITING: Final = 1024
"""Requests of one module that may wait for their answers; more are left unread."""
MOST_ENDPOINTS: Final = 1024
SAY_AGAIN_AFTER: Final = (0.05, 0.05, 0.5)
UNITS_A_SECOND: Final = 60_000.0
UNITS_AT_ONCE: Final = 60_000.0
SMALL: Final = 1024
BYTES_A_UNIT: Final = 200
"""A small message costs a unit, a larger one another for so many bytes more: 12 MB a second."""
ANNOUNCEMENTS_A_SECOND: Final = 1.0
ANNOUNCEMENTS_AT_ONCE: Final = 10.0
DISCOVERIES_A_SECOND: Final = 20.0
DISCOVERIES_AT_ONCE: Final = 100.0


def cost_of(data: bytes) -> float:
    return 1 + max(0, len(data) - SMALL) / BYTES_A_UNIT


class Unreachable(RuntimeModuleError):
    """The module took no HTTP request over its messages, or ended before it answered one."""

    code = "ERR_MODULE_UNREACHABLE"
    retryable = True


class _Answer(WireStruct):
    """``params`` of the extension call ``routed_answer``/``answer``."""

    request_id: WireUuid
    payload: EncodedMessage | None = None
    error: extensions.RoutedError | None = None


class Conversation:
    """``note`` takes what the module says that is no message, as level and text, for its log."""

    def __init__(
        self,
        module_id: str,
        auth_token: str,
        switchboard: Switchboard,
        note: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.module_id, self.auth_token, self.note = module_id, auth_token, note
        self.allowance = Allowance(UNITS_A_SECOND, UNITS_AT_ONCE, clock)
        """Shared by all ways on which the module speaks, in units of ``cost_of``."""
        self._announcing = Allowance(ANNOUNCEMENTS_A_SECOND, ANNOUNCEMENTS_AT_ONCE, clock)
        self._discovering = Allowance(DISCOVERIES_A_SECOND, DISCOVERIES_AT_ONCE, clock)
        self.announcement: messages.Announce | None = None
        self.announced = asyncio.Event()
        self.hung = asyncio.Event()
        """Set when it has answered no heartbeat for too long."""
        self.is_ready = False
        self.is_draining = False
        self._on_draining: set[Callable[[], None]] = set()
        self.speaks_extensions = False
        self.loses_lines = False
        """Built with the Rust SDK, where two readers share the standard input and the wrong one may take a secret."""
        self.leased: list[int] = []
        self.refused = 0
        self.received = 0
        self._board = switchboard
        self._told: set[str] = set()
        self._transports: list[Transport] = []
        self._desk = ServiceDesk(module_id, switchboard.hosts, self._explain)
        self._http: dict[str, asyncio.Future[messages.HttpResponse]] = {}
        self._http_count = 0
        self.ask_over: Callable[[messages.HttpRequest], Awaitable[messages.HttpResponse]] | None = None
        """A way of its own for HTTP requests, if the module has one and no channel."""
        self._lanes = Lanes(MOST_WAITING, self._hold)
        switchboard.begin(self)

    # --- transports ---

    def attach(self, transport: Transport) -> None:
        """The first is where everything goes that is no answer; what may go over a channel prefers the newest."""
        self._transports.append(transport)

    def detach(self, transport: Transport) -> None:
        if transport in self._transports:
            self._transports.remove(transport)
            self._board.streams.lost(transport)

    @property
    def channels(self) -> list[str]:
        return [transport.label for transport in self._transports]

    def send(self, message: WireStruct) -> None:
        """Over the first transport. ``LinkClosed`` if there is none, or it takes no more."""
        if not self._transports:
            raise LinkClosed(f"{self.module_id} is not connected")
        self._transports[0].send(message)

    def deliver(self, message: messages.RoutedModuleMessage) -> None:
        """Over the newest channel, where a Rust module hears it. ``LinkClosed`` if it cannot be sent."""
        if not self._transports or self.is_draining:
            raise LinkClosed(f"{self.module_id} takes no requests")
        self._send_by_channel(message)

    @property
    def newest_channel(self) -> Transport | None:
        """Standard streams are none: they carry no chunks."""
        return next((each for each in reversed(self._transports) if each.label != "stdio"), None)

    def _send_by_channel(self, message: WireStruct) -> None:
        """The newest channel that is open, or else stdio."""
        for transport in reversed(self._transports[1:]):
            with suppress(LinkClosed):
                transport.send(message)
                return
        self._transports[0].send(message)

    def on_draining(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls ``listener`` once when the module is about to end, if it is not already; the result forgets it."""
        if self.is_draining:
            listener()
        else:
            self._on_draining.add(listener)
        return lambda: self._on_draining.discard(listener)

    def _drain(self) -> None:
        self.is_draining = True
        for listener in self._on_draining:
            listener()
        self._on_draining.clear()

    def shutdown(self) -> None:
        """Ask the module to end, on every way there is to it."""
        self._drain()
        for transport in list(self._transports):
            self._try_send(transport, messages.Shutdown())

    def rotated(self, keys: Sequence[str], rotation_id: str) -> None:
        """Tell of new secrets. A Rust module loses the line that follows, so one follows that may be lost."""
        if self._transports and rotation_id not in self._told:
            self._told.add(rotation_id)
            self._try_send(self._transports[0], messages.Rotated(keys=list(keys), rotation_id=rotation_id))
            self._try_send(self._transports[0], messages.Heartbeat())

    def tell(self, kind: str, **detail: object) -> None:
        """For the record."""
        self._board.tell(Happening(kind, self.module_id, detail))

    async def close(self) -> None:
        """Nothing can be said any more: what waits is cancelled, and the switchboard takes back what was lent."""
        self.is_ready = False
        self._transports.clear()
        await self._lanes.close()
        for waiting in self._http.values():
            if not waiting.done():
                waiting.set_exception(Unreachable(f"{self.module_id} ended before it answered"))
        await self._board.leave(self)

    async def close_connections(self) -> None:
        """Close the service connections of this instance alone."""
        await self._desk.close()

    # --- HTTP over messages ---

    async def http(self, method: str, uri: str, headers: dict[str, str], body: bytes | None) -> messages.HttpResponse:
        """One request over the newest channel of a module that serves there, else stdio. ``Unreachable``."""
        if self.is_draining or not (self._transports or self.ask_over):
            raise Unreachable(f"{self.module_id} takes no requests")
        self._http_count += 1
        request_id = f"{self.module_id}-{self._http_count}"
        request = messages.HttpRequest(request_id=request_id, method=method, uri=uri, headers=headers, body=body)
        if self.ask_over is not None:
            try:
                return await self.ask_over(request)
            except (LinkClosed, ProtocolError) as error:
                raise Unreachable(str(error)) from error
        answered: asyncio.Future[messages.HttpResponse] = asyncio.get_running_loop().create_future()
        self._http[request_id] = answered
        try:
            if self.speaks_extensions:
                self._send_by_channel(request)
            else:  # a Rust module answers them on a channel without asking its application
                self._transports[0].send(request)
            return await answered
        except LinkClosed as error:
            raise Unreachable(str(error)) from error
        finally:
            del self._http[request_id]

    # --- what the module says ---

    def line(self, line: bytes, transport: Transport) -> None:
        """One line of its standard output. What is no message is a line of its log."""
        if not line.startswith(b"{") or not (b'"op"' in line or b'"content"' in line):
            self.note("info", line[:LONGEST_LINE].decode("utf-8", "backslashreplace"))
            return
        try:
            message = messages.decode_module_line(line)
        except ProtocolError as error:
            self.refuse(str(error))
            return
        self.receive(message, transport)

    def receive(self, message: messages.ModuleToOrchestrator | StreamChunk | StreamAck, transport: Transport) -> None:
        self.received += 1
        try:
            _HANDLERS[type(message)](self, message, transport)
        except Exception as error:  # noqa: BLE001 - a fault here must not end the reading of all that follows
            self.refuse(self._explain(getattr(message, "op", "stream"), error))

    def _announce(self, message: messages.Announce, transport: Transport) -> None:
        if len(message.endpoints) > MOST_ENDPOINTS:
            self.refuse(f"announce: more than {MOST_ENDPOINTS} endpoints")
            return
        self.announce(message)

    def announce(self, message: messages.Announce) -> bool:
        """Take up what the module serves, for the first time or anew; False if it does so too often."""
        if message == self.announcement:
            return True
        if not self._announcing.take():
            self.refuse("announce: announced too often")
            return False
        self.announcement = message
        if not self.announced.is_set():
            self.announced.set()
            self.catch_up()
        self._board.announced(self)
        return True

    def _get_secret(self, message: messages.GetSecret, transport: Transport) -> None:
        self._lanes.submit("secrets", partial(self._answer_secret, message, transport))

    async def _answer_secret(self, message: messages.GetSecret, transport: Transport) -> None:
        """The wire has no word for a refusal: a module that may not have the secret hears nothing."""
        try:
            if self._board.keeper is None:
                raise RuntimeModuleError("this orchestrator keeps no secrets")
            value, rotation_id = await self._board.keeper.get(self.module_id, message.name)
        except SdkError as error:
            _log.warning("secret_refused", module_id=self.module_id, asked_for=message.name[:128], reason=str(error))
            return
        answer = messages.Secret(name=message.name, value=value, rotation_id=rotation_id)
        self._try_send(transport, answer)
        if self.loses_lines:
            self._say_again(answer, transport, self.received, list(SAY_AGAIN_AFTER))

    def _say_again(self, answer: messages.Secret, transport: Transport, received: int, delays: list[float]) -> None:
        """Repeat ``answer`` as long as the module says nothing else: one that got it goes on to its next message."""

        def repeat() -> None:
            if self.received == received and transport in self._transports:
                self._try_send(transport, answer)
                self._say_again(answer, transport, received, delays)

        if delays:
            asyncio.get_running_loop().call_later(delays.pop(0), repeat)

    def catch_up(self) -> None:
        """Tell of rotations that the module has not acknowledged and was not told of."""
        self._lanes.submit("secrets", self._catch_up)

    async def _catch_up(self) -> None:
        if self._board.keeper is None:
            return
        try:
            for keys, rotation_id in await self._board.keeper.pending(self.module_id):
                self.rotated(keys, rotation_id)
        except SdkError as error:
            _log.error("pending_rotations_unknown", module_id=self.module_id, reason=str(error))

    def _rotation_ack(self, message: messages.RotationAck, transport: Transport) -> None:
        self._lanes.submit("secrets", partial(self._take_rotation_ack, message))

    async def _take_rotation_ack(self, message: messages.RotationAck) -> None:
        if self._board.keeper is None:
            return
        try:
            await self._board.keeper.acknowledge(
                self.module_id, message.rotation_id, success=message.status == "success", message=message.message
            )
        except SdkError as error:
            _log.warning("rotation_ack_refused", module_id=self.module_id, reason=str(error))

    def _register_provider(self, message: messages.RegisterServiceProvider, transport: Transport) -> None:
        try:
            provider_id = self._board.providers.register(self.module_id, message)
        except RuntimeModuleError as error:
            answer = messages.RegisterServiceProviderResponse(success=False, error=str(error))
        else:
            answer = messages.RegisterServiceProviderResponse(success=True, provider_id=provider_id)
        self._try_send(transport, answer)

    def _discover(self, message: messages.DiscoverServiceProviders, transport: Transport) -> None:
        if self._discovering.take():
            found = self._board.providers.discover(message)
            answer = messages.DiscoverServiceProvidersResponse(success=True, providers=found)
        else:
            answer = messages.DiscoverServiceProvidersResponse(success=False, providers=[], error="asked too often")
        self._try_send(transport, answer)

    def _service_request(self, message: messages.ServiceRequest, transport: Transport) -> None:
        self._lanes.submit(("open", message.id), partial(self._open_service, message, transport))

    async def _open_service(self, message: messages.ServiceRequest, transport: Transport) -> None:
        self._try_send(transport, await self._desk.open(message))

    def _service_operation(self, message: messages.ServiceOperation, transport: Transport) -> None:
        self._lanes.submit(lane_of(message), partial(self._operate, message, transport))

    async def _operate(self, message: messages.ServiceOperation, transport: Transport) -> None:
        answer = await self._desk.operate(message)
        try:
            self._try_send(transport, answer)
        except ProtocolError as error:  # a result that JSON cannot hold
            self._try_send(transport, answer_to(message, None, str(error)))

    def _http_response(self, message: messages.HttpResponse, transport: Transport) -> None:
        waiting = self._http.get(message.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _port_request(self, message: messages.PortRequest, transport: Transport) -> None:
        try:
            port = self._board.lease_port(self, message.specific_port)
        except RuntimeModuleError as error:
            answer = messages.PortResponse(
                request_id=message.request_id, success=False, port=0, error_message=str(error)
            )
        else:
            answer = messages.PortResponse(request_id=message.request_id, success=True, port=port)
        self._try_send(transport, answer)

    def _route(self, message: messages.RouteToModule, transport: Transport) -> None:
        self._board.routes.route(self.module_id, message, partial(self._try_send, transport))

    def _stream_chunk(self, message: StreamChunk, transport: Transport) -> None:
        refusal = self._board.streams.chunk(message, self, transport)
        if refusal is not None:
            self._try_send(transport, refusal)

    def _stream_ack(self, message: StreamAck, transport: Transport) -> None:
        if not self._board.streams.ack(message, self):
            _log.debug("stream_ack_ignored", module_id=self.module_id)

    def _heartbeat_ack(self, message: messages.HeartbeatAck, transport: Transport) -> None:
        """Its channel has noted already that something came."""

    def _hello(self, message: extensions.Hello, transport: Transport) -> None:
        if self.is_proven_by(message):
            self.speaks_extensions = True
        else:
            self.refuse("hello: not the module id and token of its InitBlob")

    def is_proven_by(self, hello: extensions.Hello) -> bool:
        return hello.module_id == self.module_id and compare_digest(hello.auth_token.encode(), self.auth_token.encode())

    def _extension_call(self, message: extensions.ExtensionCall, transport: Transport) -> None:
        self.speaks_extensions = True
        self._lanes.submit(("extension", message.extension), partial(self._answer_call, message, transport))

    async def _answer_call(self, message: extensions.ExtensionCall, transport: Transport) -> None:
        result, problem = None, None
        try:
            result = await self._call(message.extension, message.operation, message.params)
        except Exception as error:  # noqa: BLE001 - a fault of the orchestrator must answer the module
            problem = self._explain(f"{message.extension}.{message.operation}", error)
        self._try_send(
            transport,
            extensions.ExtensionResult(call_id=message.call_id, success=problem is None, result=result, error=problem),
        )

    async def _call(self, extension: str, operation: str, params: Any) -> Any:
        if extension == extensions.SECRETS and self._board.keeper is not None:
            return await self._board.keeper.call(self.module_id, operation, params)
        if (extension, operation) == (extensions.ROUTED_ANSWER, "answer"):
            answer = _Answer.model_validate(params)
            self._board.routes.answered(self.module_id, answer.request_id, answer.payload, answer.error)
            return None
        if (extension, operation) == (extensions.DRAIN, "draining"):
            self._drain()
            return None
        raise RuntimeModuleError(f"this orchestrator knows no {extension[:64]}.{operation[:64]}")

    # --- helpers ---

    def _explain(self, what: str, error: Exception) -> str:
        """What the module is told. What is not an error of ours may say anything, so that stands in our log alone."""
        if isinstance(error, ServiceOperationFailed):
            return error.reason
        if isinstance(error, SdkError):
            return str(error)
        if isinstance(error, ValueError):
            return f"invalid parameters of {what[:64]}"
        _log.error("module_request_failed", module_id=self.module_id, request=what[:64], exc_info=error)
        return "the orchestrator failed; its log says why"

    def _try_send(self, transport: Transport, message: WireStruct) -> None:
        try:
            transport.send(message)
        except LinkClosed as error:
            self._unsent(error)

    def _unsent(self, error: LinkClosed) -> None:
        self.note("warning", f"a message to the module was dropped: {error}")

    def refuse(self, reason: str) -> None:
        self.refused += 1
        self.note("warning", f"a message of the module was refused: {reason}")

    def _hold(self, held: bool) -> None:
        for transport in self._transports:
            transport.hold(held)


_HANDLERS: Final[dict[type[WireStruct], Callable[[Conversation, Any, Any], None]]] = {
    messages.Announce: Conversation._announce,
    messages.GetSecret: Conversation._get_secret,
    messages.RotationAck: Conversation._rotation_ack,
    messages.RegisterServiceProvider: Conversation._register_provider,
    messages.DiscoverServiceProviders: Conversation._discover,
    messages.ServiceRequest: Conversation._service_request,
    messages.ServiceOperation: Conversation._service_operation,
    messages.HttpResponse: Conversation._http_response,
    messages.PortRequest: Conversation._port_request,
    messages.RouteToModule: Conversation._route,
    messages.HeartbeatAck: Conversation._heartbeat_ack,
    extensions.ExtensionCall: Conversation._extension_call,
    extensions.Hello: Conversation._hello,
    StreamChunk: Conversation._stream_chunk,
    StreamAck: Conversation._stream_ack,
}
