"""What a module asks its orchestrator, and how each answer finds who waits for it. Knows nothing of pipes and sockets.

The Rust wire says of few answers what they belong to (spec/module-runtime.md §1.10): a secret goes by its name, a
service by an id, an operation by its echo or by its turn. Under an orchestrator that announced ``correlation`` each
operation has an id, and many are on their way at once; under any other there is one at a time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ServiceOperationFailed, Unsupported
from sdk.module_runtime.patience import Patience
from sdk.module_runtime.pending import Pending, Turns
from sdk.module_runtime.protocol import extensions as ext
from sdk.module_runtime.protocol import messages as m
from sdk.module_runtime.protocol.services import service_type_text
from sdk.module_runtime.secrets.redaction import register_secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from uuid import UUID

    from sdk.module_runtime.protocol.services import ServiceProvider, ServiceType

    Rotation = Callable[[Sequence[str], str], Awaitable[None]]

_log = get_logger(__name__)
K = TypeVar("K")
V = TypeVar("V")

SECRET_TIMEOUT: Final = 5.0
"""Seconds, as in Rust. An orchestrator has no way to say that there is no such secret; silence is its answer."""
SERVICE_TIMEOUT: Final = 30.0


@dataclass(slots=True, eq=False)
class _Turn:
    """An operation without an id: where its result has to go, if anybody still waits."""

    connection_id: str
    operation: str
    result: asyncio.Future[m.ServiceOperationResult]


class Link:
    """``OrchestratorLink`` over anything that can send a message. ``receive`` takes what the orchestrator says."""

    def __init__(
        self,
        send: Callable[[m.ModuleToOrchestrator], Coroutine[Any, Any, None]],
        extensions: frozenset[str] = frozenset(),
        *,
        on_http: Callable[[m.HttpRequest, Link], None] | None = None,
        on_shutdown: Callable[[], None] = lambda: None,
        on_routed: Callable[[m.RoutedModuleMessage, Link], None] | None = None,
        rotations: list[Rotation] | None = None,
    ) -> None:
        """``send`` raises ``NotSent`` if nothing of the message has left. ``on_http`` answers through the link.

        ``rotations`` are the listeners of another link, that are told of what comes over this one.
        """
        self._send = send
        self.extensions = extensions
        self._on_http, self._on_shutdown, self._on_routed = on_http, on_shutdown, on_routed
        self._secrets: Pending[str, m.Secret] = Pending()
        self._services: Pending[str, m.ServiceResponse] = Pending()
        self._operations: Pending[str, m.ServiceOperationResult] = Pending()
        self._ports: Pending[str, m.PortResponse] = Pending()
        self._calls: Pending[str, ext.ExtensionResult] = Pending()
        self._routed: Pending[UUID, m.RoutedModuleResponse] = Pending()
        self._registered: Turns[m.RegisterServiceProviderResponse] = Turns()
        self._discovered: Turns[m.DiscoverServiceProvidersResponse] = Turns()
        self._numbers = itertools.count(1)
        self._turns: deque[_Turn] = deque()
        self._patience = Patience()
        self._one_at_a_time = asyncio.Lock()
        self._is_closed = False
        self.heard = 0
        """Messages that came over this link."""
        self.rotations: list[Rotation] = [] if rotations is None else rotations
        self._tasks: set[asyncio.Task[None]] = set()
        self._takers: dict[type, Callable[[Any], None]] = {
            m.Secret: self._take_secret,
            m.Rotated: self._take_rotated,
            m.Shutdown: lambda _: self._on_shutdown(),
            m.RegisterServiceProviderResponse: lambda each: self._in_turn(self._registered, each),
            m.DiscoverServiceProvidersResponse: lambda each: self._in_turn(self._discovered, each),
            m.ServiceResponse: lambda each: self._answered(self._services, each.id, each),
            m.ServiceOperationResult: self._take_result,
            m.HttpRequest: self._take_http,
            m.PortResponse: lambda each: self._answered(self._ports, each.request_id, each),
            m.RoutedModuleMessage: self._take_routed,
            m.RoutedModuleResponse: lambda each: self._answered(self._routed, each.request_id, each),
            m.Heartbeat: lambda _: self._in_background(self._send(m.HeartbeatAck())),
            ext.ExtensionResult: lambda each: self._answered(self._calls, each.call_id, each),
        }

    # --- what a module asks ---

    async def get_secret(self, name: str, *, timeout: float | None = None) -> tuple[str, str | None]:
        """``(value, rotation_id)``. Several who ask for one name at a time share the answer."""
        asking = () if name in self._secrets else (m.GetSecret(name=name),)
        answer = await self._ask(self._secrets, name, asking, timeout or SECRET_TIMEOUT, f"the secret {name!r}")
        return answer.value, answer.rotation_id

    async def open_service(
        self,
        service_type: str | Mapping[str, str],
        config: Mapping[str, Any] | None,
        *,
        timeout: float | None = None,
    ) -> str:
        kind = _service_type(service_type)
        name = service_type_text(kind)
        id_ = f"{name.partition(':')[0]}_request_{uuid4()}"
        request = m.ServiceRequest(id=id_, service_type=kind, config=None if config is None else dict(config))
        answer = await self._ask(
            self._services, id_, (request,), timeout or SERVICE_TIMEOUT, f"a connection to the service {name}"
        )
        if not answer.success or answer.connection_id is None:
            raise ServiceOperationFailed(name, "open", answer.error or "the orchestrator gave no reason")
        return answer.connection_id

    async def operate(
        self,
        connection_id: str,
        service_type: str | Mapping[str, str],
        operation: str,
        params: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        kind = _service_type(service_type)
        id_ = f"op-{next(self._numbers)}" if ext.CORRELATION in self.extensions else None
        request = m.ServiceOperation.trusted(
            connection_id=connection_id, service_type=kind, operation=operation, params=params, operation_id=id_
        )
        seconds = timeout or SERVICE_TIMEOUT
        if id_ is not None:
            what = f"the answer to {service_type_text(kind)} {operation}"
            answer = await self._ask(self._operations, id_, (request,), seconds, what)
        else:
            answer = await self._operate_in_turn(request, seconds)
        if not answer.success:
            reason = answer.error or "the orchestrator gave no reason"
            raise ServiceOperationFailed(service_type_text(kind), operation, reason)
        return answer.result

    async def request_port(self, request: m.PortRequest, *, timeout: float) -> m.PortResponse:
        """One try; how often, and what then, is for ``port_negotiation``."""
        return await self._ask(self._ports, request.request_id, (request,), timeout, "a port")

    async def route(self, request: m.RouteToModule, *, timeout: float | None = None) -> m.RoutedModuleResponse:
        """Another module's answer, or the orchestrator's that there is none."""
        what = f"the answer of {request.target_module_id}"
        return await self._ask(self._routed, request.request_id, (request,), timeout or SERVICE_TIMEOUT, what)

    async def register_provider(
        self,
        service_type: str | Mapping[str, str],
        name: str,
        address: str,
        *,
        version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> str:
        """Offer a service to other modules, at an address of one's own; the orchestrator's id for it."""
        kind = _service_type(service_type)
        request = m.RegisterServiceProvider(
            service_type=kind,
            name=name,
            version=version,
            address=address,
            metadata=None if metadata is None else dict(metadata),
        )
        answer = await self._ask_in_turn(self._registered, request, timeout or SERVICE_TIMEOUT, "the registration")
        if not answer.success or answer.provider_id is None:
            reason = answer.error or "the orchestrator gave no reason"
            raise ServiceOperationFailed(service_type_text(kind), "register", reason)
        return answer.provider_id

    async def discover_providers(
        self,
        service_type: str | Mapping[str, str],
        *,
        all_providers: bool | None = None,
        timeout: float | None = None,
    ) -> list[ServiceProvider]:
        """Who offers a service: one that is healthy, or all of them."""
        kind = _service_type(service_type)
        request = m.DiscoverServiceProviders(service_type=kind, all_providers=all_providers)
        answer = await self._ask_in_turn(self._discovered, request, timeout or SERVICE_TIMEOUT, "the providers")
        if not answer.success:
            reason = answer.error or "the orchestrator gave no reason"
            raise ServiceOperationFailed(service_type_text(kind), "discover", reason)
        return answer.providers

    async def acknowledge_rotation(self, rotation_id: str, *, success: bool, message: str | None = None) -> None:
        status = "success" if success else "error"
        await self._send(m.RotationAck(rotation_id=rotation_id, status=status, message=message))

    def on_rotated(self, listener: Rotation) -> Callable[[], None]:
        self.rotations.append(listener)
        return lambda: self.rotations.remove(listener) if listener in self.rotations else None

    async def extension_call(self, extension: str, operation: str, params: Any, *, timeout: float | None = None) -> Any:
        if extension not in self.extensions:
            raise Unsupported(extension, operation)
        call = ext.ExtensionCall(call_id=str(uuid4()), extension=extension, operation=operation, params=params)
        answer = await self._ask(
            self._calls, call.call_id, (call,), timeout or SERVICE_TIMEOUT, f"the answer to {extension} {operation}"
        )
        if not answer.success:
            raise ServiceOperationFailed(extension, operation, answer.error or "the orchestrator gave no reason")
        return answer.result

    async def send(self, message: m.ModuleToOrchestrator) -> None:
        """A message that has no answer, or whose answer somebody else awaits."""
        await self._send(message)

    # --- what the orchestrator says ---

    def receive(self, message: m.OrchestratorToModule) -> None:
        """Never waits: answers go to who waits for them, the rest to tasks of their own."""
        self.heard += 1
        taker = self._takers.get(type(message))
        if taker is None:
            _log.warning("message_ignored", op=message.op)
        else:
            taker(message)

    async def close(self) -> None:
        """The orchestrator is gone, or we go: whoever waits gets ``LinkClosed``."""
        self._is_closed = True
        for each in self._all_pending():
            each.close()
        for turn in self._turns:
            if not turn.result.done():
                turn.result.set_exception(LinkClosed("the link ended before the result came"))
        self._turns.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- how they meet ---

    def _all_pending(self) -> tuple[Pending[Any, Any] | Turns[Any], ...]:
        by_key = (self._secrets, self._services, self._operations, self._ports, self._calls, self._routed)
        return *by_key, self._registered, self._discovered

    async def _ask(
        self,
        pending: Pending[K, V],
        key: K,
        requests: tuple[m.ModuleToOrchestrator, ...],
        seconds: float,
        what: str,
    ) -> V:
        try:
            with pending.expecting(key) as answer, self._patience.limit(seconds):
                for request in requests:
                    await self._send(request)
                return await (asyncio.shield(answer) if pending is self._secrets else answer)
        except TimeoutError:
            raise LinkTimeout(f"{what} did not come within {seconds:g} seconds") from None

    async def _ask_in_turn(self, turns: Turns[V], request: m.ModuleToOrchestrator, seconds: float, what: str) -> V:
        try:
            with self._patience.limit(seconds):
                return await turns.ask(lambda: self._send(request))
        except TimeoutError:
            raise LinkTimeout(f"{what} did not come within {seconds:g} seconds") from None

    async def _operate_in_turn(self, request: m.ServiceOperation, seconds: float) -> m.ServiceOperationResult:
        turn = _Turn(request.connection_id, request.operation, asyncio.get_running_loop().create_future())
        what = f"the answer to {service_type_text(request.service_type)} {request.operation}"
        try:
            with self._patience.limit(seconds):
                async with self._one_at_a_time:
                    if self._is_closed:
                        raise LinkClosed("the link to the orchestrator has ended")
                    self._turns.append(turn)  # stays when nobody waits any more: its result is nobody else's
                    await self._send(request)
                    return await turn.result
        except TimeoutError:
            raise LinkTimeout(f"{what} did not come within {seconds:g} seconds") from None

    def _take_result(self, message: m.ServiceOperationResult) -> None:
        if message.operation_id is not None:
            self._answered(self._operations, message.operation_id, message)
            return
        turn = self._turn_of(message.params)
        if turn is None:
            _log.warning("result_ignored", reason="nobody asked for it")
            return
        self._turns.remove(turn)
        if not turn.result.done():
            turn.result.set_result(message)

    def _turn_of(self, echoed: Any) -> _Turn | None:
        """The operation that is echoed; without an echo, the oldest."""
        if isinstance(echoed, dict) and "connection_id" in echoed:
            wanted = (echoed["connection_id"], echoed.get("operation"))
            return next((each for each in self._turns if (each.connection_id, each.operation) == wanted), None)
        return self._turns[0] if self._turns else None

    def _take_secret(self, message: m.Secret) -> None:
        register_secret(message.value, holder=message)  # whoever asked for it holds it then
        self._answered(self._secrets, message.name, message)

    def _take_rotated(self, message: m.Rotated) -> None:
        self._in_background(self._tell_rotated(message))

    async def _tell_rotated(self, message: m.Rotated) -> None:
        """Who listens fetches the new values and then acknowledges. Nobody: then the old ones are still in use."""
        if not self.rotations:
            reason = "this module keeps no secrets it could fetch again"
            await self.acknowledge_rotation(message.rotation_id, success=False, message=reason)
            return
        for listener in list(self.rotations):
            await listener(message.keys, message.rotation_id)

    def _take_http(self, message: m.HttpRequest) -> None:
        if self._on_http is not None:
            self._on_http(message, self)
            return
        answer = m.HttpResponse(request_id=message.request_id, status_code=503, headers={}, body=b"no HTTP here")
        self._in_background(self._send(answer))

    def _take_routed(self, message: m.RoutedModuleMessage) -> None:
        if self._on_routed is None:
            _log.warning("message_ignored", op=message.op, reason="this module answers no other modules")
        else:
            self._on_routed(message, self)

    def _answered(self, pending: Pending[K, Any], key: K, message: Any) -> None:
        if not pending.answer(key, message):
            _log.debug("answer_ignored", op=message.op, reason="nobody waits for it")

    @staticmethod
    def _in_turn(turns: Turns[V], message: V) -> None:
        if not turns.answer(message):
            _log.warning("answer_ignored", reason="nobody asked for it")

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, LinkClosed):
            _log.error("message_not_handled", exc_info=error)


def _service_type(given: str | Mapping[str, str]) -> ServiceType:
    return given if isinstance(given, str) else dict(given)  # type: ignore[return-value]
