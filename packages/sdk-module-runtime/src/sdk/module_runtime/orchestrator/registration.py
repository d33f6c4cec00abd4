"""Modules that no orchestrator started: they register over TCP, prove themselves by the token they get, and tell how
they are (spec/module-runtime.md §1.15). Requests may be wrapped in ``Message``; answers are bare.

Beyond the Rust wire: after ``hello`` with its name and token a connection is a channel like that of a started module.
With a key set, ``metadata.registration_key`` must be it. ``metadata.address`` says where the module serves HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sdk.module_runtime.channels.allowance import Allowance
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.intake import Intake
from sdk.module_runtime.channels.metrics import ChannelMetrics
from sdk.module_runtime.errors import LinkClosed, ProtocolError, RuntimeModuleError
from sdk.module_runtime.orchestrator.conversation import Conversation, cost_of
from sdk.module_runtime.orchestrator.own_port import OwnPort
from sdk.module_runtime.orchestrator.pulse import Pulse, tell_alerts
from sdk.module_runtime.protocol import registration as wire
from sdk.module_runtime.protocol.extensions import Hello
from sdk.module_runtime.protocol.formats import Format, convert
from sdk.module_runtime.protocol.json_text import parse_json, write_json
from sdk.module_runtime.protocol.messages import MODULE_TO_ORCHESTRATOR, Announce, Heartbeat, HeartbeatAck
from sdk.module_runtime.protocol.model import Codec
from sdk.module_runtime.protocol.packed import decode_from_module, encode, is_stream
from sdk.module_runtime.protocol.services import Endpoint
from sdk.module_runtime.secrets.redaction import register_secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from uuid import UUID

    from sdk.module_runtime.orchestrator.switchboard import Switchboard
    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.messages import ModuleToOrchestrator
    from sdk.module_runtime.protocol.model import WireStruct
    from sdk.module_runtime.protocol.streaming import StreamAck, StreamChunk

_log = get_logger(__name__)
MOST_REGISTERED: Final = 256
MOST_CONNECTIONS: Final = 512
MOST_ENDPOINTS: Final = 1024
LARGEST_REQUEST: Final = 256 * 1024
LONGEST_NAME: Final = 63
UNITS_A_SECOND: Final = 100.0
UNITS_AT_ONCE: Final = 2_000.0
"""For each connection that has not said who it is; see ``cost_of``."""
REGISTRATIONS_A_SECOND: Final = 1.0
REGISTRATIONS_AT_ONCE: Final = 100.0
SILENT_AFTER: Final = 90.0
"""Seconds without a heartbeat, after which a module is not sent anything. The Rust server sends one every 30."""
FORGOTTEN_AFTER: Final = 600.0
HEARTBEAT: Final = 10.0
_UNKNOWN: Final = "Unknown request type"
_WHO: Final = "module id and token are not those of a registered module"
_REGISTER = Codec[wire.RegistrationRequest]("RegistrationRequest", wire.RegistrationRequest)
_HEARTBEAT = Codec[wire.HeartbeatRequest]("HeartbeatRequest", wire.HeartbeatRequest)
_CAPABILITIES = Codec[wire.CapabilitiesRequest]("CapabilitiesRequest", wire.CapabilitiesRequest)
_UNREGISTER = Codec[wire.UnregistrationRequest]("UnregistrationRequest", wire.UnregistrationRequest)


class _Refused(RuntimeModuleError):
    code = "ERR_REGISTRATION_REFUSED"


@dataclass(eq=False)
class Registered:
    info: wire.ModuleInfo
    id: UUID
    token: str = field(repr=False)
    conversation: Conversation
    heard_at: float
    status: wire.HealthStatus = "Healthy"
    channels: set[_Connection] = field(default_factory=set)
    own_port: OwnPort | None = None
    metrics: ChannelMetrics = field(default_factory=ChannelMetrics)
    """Of its channels together."""

    def is_well(self, now: float) -> bool:
        return self.status != "Unhealthy" and (bool(self.channels) or now - self.heard_at < SILENT_AFTER)


class Registrar:
    """``taken`` are the names of the stack's own modules. ``host`` and ``port`` are what modules are told."""

    def __init__(
        self,
        board: Switchboard,
        taken: Collection[str],
        *,
        key: str | None,
        clock: Callable[[], float],
        note: Callable[[str, str, str], None],
        own_ports: bool = False,
    ) -> None:
        """``own_ports``: each module is told a port of its own, over which it may answer HTTP in frames."""
        self._own_ports = own_ports
        self.host, self.port = "127.0.0.1", 0
        self.connections: set[_Connection] = set()
        self.clock = clock
        self._board, self._taken, self._key, self._note = board, frozenset(taken), key, note
        self._registering = Allowance(REGISTRATIONS_A_SECOND, REGISTRATIONS_AT_ONCE, clock)
        self._modules: dict[UUID, Registered] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def modules(self) -> list[Registered]:
        return list(self._modules.values())

    def incoming(self, label: str) -> Channel:
        return _Connection(self, label).channel

    async def watch(self) -> None:
        """Until cancelled: heartbeats on channels, and what is silent for too long is left out, then forgotten."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            now = self.clock()
            for each in self.modules:
                for connection in list(each.channels):
                    connection.beat()
                tell_alerts(each.conversation, "registered", each.metrics, now)
                self._judge(each)
                if not each.channels and now - each.heard_at > FORGOTTEN_AFTER:
                    _log.warning("registered_module_forgotten", module_id=each.info.name)
                    self._remove(each)

    async def close(self) -> None:
        for each in self.modules:
            self._remove(each)
        closed = [each.channel.closed for each in self.connections if each.channel.is_open]
        for connection in list(self.connections):
            connection.channel.abort("the orchestrator ends")
        await asyncio.gather(*closed, *self._closing)

    # --- requests ---

    def answer(self, request: Mapping[str, Any]) -> WireStruct | dict[str, Any]:
        """The answer to one request, a refusal if it must be one. ``ProtocolError`` if it is no request at all."""
        kind = request.get("request_type")
        if kind == "register":
            return self._register(_REGISTER.from_value(request).module_info)
        if kind == "heartbeat":
            return self._heartbeat(_HEARTBEAT.from_value(request))
        if kind == "capabilities":
            return self._capabilities(_CAPABILITIES.from_value(request))
        if kind == "unregister":
            return self._unregister(_UNREGISTER.from_value(request))
        return {"response_type": "unknown", "success": False, "error": _UNKNOWN}

    def _register(self, info: wire.ModuleInfo) -> wire.RegistrationResponse:
        own_port = None
        try:
            self._admit(info)
            if self._own_ports:
                own_port = OwnPort(info.name, self.host)
        except (_Refused, OSError) as refused:
            _log.warning("registration_refused", module_id=info.name[:LONGEST_NAME], reason=str(refused))
            return wire.RegistrationResponse(response_type="register", success=False, error=str(refused))
        token = secrets.token_urlsafe(32)
        conversation = Conversation(
            info.name, token, self._board, lambda level, text: self._note(info.name, level, text)
        )
        register_secret(token, holder=conversation)
        shown = info.model_copy(update={"metadata": _without_key(info.metadata)})
        added = Registered(shown, uuid4(), token, conversation, self.clock())
        if own_port is not None:
            added.own_port, conversation.ask_over = own_port, own_port.ask
        self._modules[added.id] = added
        _log.info("module_registered", module_id=info.name, version=info.version[:64])
        module = wire.RegisteredModule(
            info=shown,
            id=added.id,
            token=token,
            orchestrator_host=self.host,
            orchestrator_port=self.port if own_port is None else own_port.port,
            additional_data={"extensions": self._board.extensions},
        )
        return wire.RegistrationResponse(response_type="register", success=True, module=module)

    def _admit(self, info: wire.ModuleInfo) -> None:
        given = (info.metadata or {}).get("registration_key", "")
        if self._key is not None and not compare_digest(given.encode(), self._key.encode()):
            raise _Refused("metadata.registration_key is not that of this orchestrator")
        if not info.name or len(info.name) > LONGEST_NAME or not info.name.isascii() or not info.name.isprintable():
            raise _Refused(f"a name has 1 to {LONGEST_NAME} printable ASCII characters")
        before = next((each for each in self._modules.values() if each.info.name == info.name), None)
        if info.name in self._taken or (before is not None and before.is_well(self.clock())):
            raise _Refused(f"name taken: {info.name}")
        if before is not None:  # it was silent for long, or unwell: the newcomer is it, restarted
            self._remove(before)
        if not self._registering.take():
            raise _Refused("too many registrations; try again later")
        if len(self._modules) >= MOST_REGISTERED:
            raise _Refused(f"{MOST_REGISTERED} modules are registered already")

    def _heartbeat(self, request: wire.HeartbeatRequest) -> wire.HeartbeatResponse:
        module = self._known(request.module_id, request.token)
        if module is None:
            return wire.HeartbeatResponse(response_type="heartbeat", success=False, error=_WHO, status="Unhealthy")
        module.heard_at, module.status = self.clock(), request.status
        self._judge(module)
        return wire.HeartbeatResponse(response_type="heartbeat", success=True, status=request.status)

    def _capabilities(self, request: wire.CapabilitiesRequest) -> wire.CapabilitiesResponse:
        module = self._known(request.module_id, request.token)
        if module is None or len(request.capabilities.endpoints) > MOST_ENDPOINTS:
            error = _WHO if module is None else f"more than {MOST_ENDPOINTS} endpoints"
            return wire.CapabilitiesResponse(response_type="capabilities", success=False, error=error)
        module.heard_at = self.clock()
        endpoints = [
            Endpoint(path=each.path, methods=each.methods, auth=each.auth) for each in request.capabilities.endpoints
        ]
        address = (module.info.metadata or {}).get("address", "")
        if not module.conversation.announce(Announce(listen=address, endpoints=endpoints)):
            return wire.CapabilitiesResponse(response_type="capabilities", success=False, error="told too often")
        self._judge(module)
        return wire.CapabilitiesResponse(response_type="capabilities", success=True)

    def _unregister(self, request: wire.UnregistrationRequest) -> wire.UnregistrationResponse:
        module = self._known(request.module_id, request.token)
        if module is None:
            return wire.UnregistrationResponse(response_type="unregister", success=False, error=_WHO)
        self._remove(module)
        return wire.UnregistrationResponse(response_type="unregister", success=True)

    # --- channels ---

    def proven(self, hello: Hello) -> Registered | None:
        """The module that a ``hello`` is of."""
        found = next((each for each in self._modules.values() if each.info.name == hello.module_id), None)
        return found if found is not None and found.conversation.is_proven_by(hello) else None

    def judge(self, module: Registered) -> None:
        if module.id in self._modules:
            module.heard_at = self.clock()
            self._judge(module)

    def _judge(self, module: Registered) -> None:
        """Ready is what is well and has said what it does, or can be spoken to."""
        conversation = module.conversation
        is_ready = module.is_well(self.clock()) and (bool(module.channels) or conversation.announced.is_set())
        if is_ready and not conversation.is_ready:
            conversation.is_ready = True
            self._board.enter(conversation)
        conversation.is_ready = is_ready

    def _known(self, module_id: UUID, token: str) -> Registered | None:
        module = self._modules.get(module_id)
        if module is None or not compare_digest(module.token.encode(), token.encode()):
            _log.warning("registration_token_refused", module_id=str(module_id))
            return None
        return module

    def _remove(self, module: Registered) -> None:
        del self._modules[module.id]
        for connection in list(module.channels):
            connection.channel.close("the module is not registered any more")
        self._close(module.conversation.close())
        self.close_own_port(module)

    def close_own_port(self, module: Registered) -> None:
        """It is gone, or has shown a better way."""
        if module.own_port is not None:
            self._close(module.own_port.close())
            module.own_port = module.conversation.ask_over = None

    def _close(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Connection:
    """One TCP connection: registration requests, and after ``hello`` the channel of one module."""

    def __init__(self, registrar: Registrar, label: str) -> None:
        self.label = label
        self._registrar = registrar
        self._module: Registered | None = None
        self._packs = False
        self._pulse: Pulse | None = None
        self._heard_at = registrar.clock()
        self.channel = Channel(self._take, label=label, max_payload=LARGEST_REQUEST, message_pack=True)
        self.channel.closed.add_done_callback(self._closed)
        self._intake: Intake[Frame] = Intake(
            self._frame,
            lambda wanted: self.channel.hold(not wanted),
            Allowance(UNITS_A_SECOND, UNITS_AT_ONCE, registrar.clock),
            lambda frame: cost_of(frame.payload),
        )
        registrar.connections.add(self)
        if len(registrar.connections) > MOST_CONNECTIONS:
            self.channel.opened = lambda: self.channel.abort("too many connections")

    def send(self, message: WireStruct) -> None:
        self.channel.send(*encode(message, packs=self._packs))

    def hold(self, held: bool) -> None:
        self._intake.hold(held)

    def beat(self) -> None:
        if self._registrar.clock() - self._heard_at > 4 * HEARTBEAT:
            self.channel.abort("it has not answered heartbeats")
            return
        try:
            self.send(Heartbeat())
        except LinkClosed as error:
            self.channel.abort(str(error))
        else:
            if self._pulse is not None:
                self._pulse.sent(self._registrar.clock())

    def _take(self, frame: Frame) -> None:
        self._heard_at = self._registrar.clock()
        self._intake.take(frame)

    def _frame(self, frame: Frame) -> None:
        try:
            message: ModuleToOrchestrator | StreamChunk | StreamAck
            if frame.format is Format.MESSAGE_PACK or is_stream(frame.payload, frame.format):
                message = decode_from_module(frame.payload, frame.format)
            else:
                body = _body(frame)
                if "request_type" in body:
                    answer = self._registrar.answer(body)
                    self._reply(answer if isinstance(answer, dict) else answer.model_dump())
                    return
                message = MODULE_TO_ORCHESTRATOR.from_value(body)
        except ProtocolError as error:
            self._reply({"response_type": "error", "success": False, "error": str(error)})
            return
        if self._pulse is not None and isinstance(message, HeartbeatAck):
            self._pulse.answered(self._registrar.clock())
        if self._module is not None:
            self._module.conversation.receive(message, self)
        elif isinstance(message, Hello):
            self._packs = frame.format is Format.MESSAGE_PACK
            self._hello(message)
        else:
            self._refuse("say hello with the token of your registration first")

    def _hello(self, hello: Hello) -> None:
        module = self._registrar.proven(hello)
        if module is None:
            self._refuse(_WHO)
            return
        self._module = module
        self._pulse = Pulse(module.metrics)
        self.channel.traffic = module.metrics.traffic
        if not module.channels:
            module.metrics.opened(self._registrar.clock())
        self.channel.allow()
        self._intake.allowance = module.conversation.allowance
        module.channels.add(self)
        module.conversation.speaks_extensions = True
        module.conversation.attach(self)
        self._registrar.close_own_port(module)
        self._registrar.judge(module)

    def _refuse(self, reason: str) -> None:
        _log.warning("registration_channel_refused", channel=self.label, reason=reason)
        self.channel.abort(reason)

    def _reply(self, answer: Mapping[str, Any]) -> None:
        try:
            self.channel.send(write_json(dict(answer), "answer"))
        except LinkClosed as error:
            self.channel.abort(str(error))

    def _closed(self, _closed: asyncio.Future[str]) -> None:
        self._registrar.connections.discard(self)
        self._intake.close()
        if self._module is not None:
            self._module.channels.discard(self)
            if not self._module.channels:
                self._module.metrics.lost(self._registrar.clock())
            self._module.conversation.detach(self)
            self._registrar.judge(self._module)


def _body(frame: Frame) -> dict[str, Any]:
    value = parse_json(convert(frame.payload, frame.format, Format.JSON), "registration request")
    if isinstance(value, dict) and "content" in value and not {"request_type", "op"} & value.keys():
        value = value["content"]
    if not isinstance(value, dict):
        raise ProtocolError("registration request", "not an object")
    return value


def _without_key(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if metadata is None else {name: each for name, each in metadata.items() if name != "registration_key"}
