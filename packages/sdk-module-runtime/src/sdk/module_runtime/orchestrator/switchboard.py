"""What all modules of an orchestrator share: services, secrets, ports, providers, and the way to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.orchestrator.happenings import Happening
from sdk.module_runtime.orchestrator.port_leases import PortLeases
from sdk.module_runtime.orchestrator.providers import ProviderRegistry
from sdk.module_runtime.orchestrator.routes import RoutingTable
from sdk.module_runtime.orchestrator.stream_relay import StreamRelay
from sdk.module_runtime.protocol.extensions import (
    CORRELATION,
    DRAIN,
    HELLO,
    MESSAGE_PACK,
    ROUTED_ANSWER,
    SECRETS,
    SESSIONS,
    RoutedError,
)
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.ports import SecretKeeper, ServiceHost
    from sdk.module_runtime.protocol.messages import RoutedModuleMessage

_log = get_logger(__name__)


class Switchboard:
    """``hosts`` by service type: ``Database``, ``Cache``, ``Jwt`` or ``Custom:name``."""

    def __init__(
        self,
        hosts: Mapping[str, ServiceHost] | None = None,
        keeper: SecretKeeper | None = None,
        ports: PortLeases | None = None,
    ) -> None:
        self.hosts, self.keeper = dict(hosts or {}), keeper
        self.ports = ports or PortLeases()
        self.providers = ProviderRegistry(self.is_ready)
        self.routes = RoutingTable(self._deliver)
        self.streams = StreamRelay(self._ready)
        self.conversations: dict[str, Conversation] = {}
        """The one that is talked to for each module id."""
        self.api = "stdio"
        """What modules are told as ``orchestrator_api``: the URL of the gateway, if there is one."""
        self.urls: dict[str, str] = {}
        """Where each module that was ready once has served HTTP on a port."""
        self.on_announced: Callable[[Conversation], None] = lambda _conversation: None
        self.tell: Callable[[Happening], None] = lambda _happening: None
        """Called with whatever happens, for the record."""
        self.on_left: Callable[[Conversation], Awaitable[None]] = _nothing
        self._live: set[Conversation] = set()
        self._end_rotations = keeper.on_rotated(self._rotated) if keeper is not None else None

    @property
    def extensions(self) -> list[str]:
        """What is announced in every InitBlob."""
        secrets = [SECRETS] if self.keeper is not None else []
        return [CORRELATION, HELLO, MESSAGE_PACK, ROUTED_ANSWER, DRAIN, SESSIONS, *secrets]

    def is_ready(self, module_id: str) -> bool:
        conversation = self.conversations.get(module_id)
        return conversation is not None and conversation.is_ready

    def _ready(self, module_id: str) -> Conversation | None:
        return self.conversations.get(module_id) if self.is_ready(module_id) else None

    def begin(self, conversation: Conversation) -> None:
        """There is a module that is not ready yet, perhaps beside one of the same id that it will replace."""
        self._live.add(conversation)

    def enter(self, conversation: Conversation) -> None:
        """From now on this is the module of its id."""
        self.conversations[conversation.module_id] = conversation
        self.announced(conversation)

    def announced(self, conversation: Conversation) -> None:
        """A module that is ready has said what it serves, for the first time or anew."""
        if self.conversations.get(conversation.module_id) is conversation:
            self.on_announced(conversation)
            announcement = conversation.announcement
            if announcement is not None:
                endpoints = [
                    {"path": each.path, "methods": each.methods, "auth": each.auth} for each in announcement.endpoints
                ]
                detail = {"listen": announcement.listen, "endpoints": endpoints}
                self.tell(Happening(happenings.ANNOUNCED, conversation.module_id, detail))

    def lease_port(self, conversation: Conversation, wanted: int | None = None) -> int:
        """A port for a module until this instance of it ends. ``NoPort``."""
        port = self.ports.lease(conversation.module_id, wanted)
        conversation.leased.append(port)
        self._tell_ports(conversation.module_id)
        return port

    def _tell_ports(self, module_id: str) -> None:
        self.tell(Happening(happenings.PORTS, module_id, {"ports": self.ports.held_by(module_id)}))

    async def leave(self, conversation: Conversation) -> None:
        """This instance is gone. What it held is given back unless a newer one has taken its place."""
        module_id = conversation.module_id
        self._live.discard(conversation)
        self.streams.release(conversation)
        if self.conversations.get(module_id) is conversation:
            del self.conversations[module_id]
        if conversation.leased:
            self.ports.release(module_id, conversation.leased)
            self._tell_ports(module_id)
        await self.on_left(conversation)
        if any(other.module_id == module_id for other in self._live):
            await conversation.close_connections()
            return
        self.routes.release(module_id)
        self.providers.release(module_id)
        for service, host in self.hosts.items():
            try:
                await host.release(module_id)
            except Exception:  # noqa: BLE001 - the others must release it all the same
                _log.exception("service_not_released", module_id=module_id, service=service)

    def catch_up(self) -> None:
        """Secrets have changed without a word of the keeper: tell each module what it must know."""
        for conversation in self._live:
            if conversation.announced.is_set():
                conversation.catch_up()

    async def close(self) -> None:
        if self._end_rotations is not None:
            self._end_rotations()
        for host in self.hosts.values():
            await host.close()
        if self.keeper is not None:
            await self.keeper.close()

    def _deliver(self, target: str, message: RoutedModuleMessage) -> RoutedError | None:
        conversation = self.conversations.get(target)
        if conversation is None:
            return RoutedError(code="not_found", message=f"no module {target} runs here")
        try:
            conversation.deliver(message)
        except LinkClosed as error:
            return RoutedError(code="unavailable", message=f"{target} cannot be reached: {error}")
        return None

    async def _rotated(self, module_id: str, keys: Sequence[str], rotation_id: str) -> None:
        for conversation in [each for each in self._live if each.module_id == module_id]:
            conversation.rotated(keys, rotation_id)


async def _nothing(conversation: Conversation) -> None:
    """Nobody wants to know."""
