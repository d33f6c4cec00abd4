"""All ways to the orchestrator as one: each request takes the preferred way that is open."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from sdk.module_runtime.channels.routing import Conditions, Ranking
from sdk.module_runtime.errors import LinkTimeout, NotSent
from sdk.module_runtime.protocol.streaming import TARGET

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
    from uuid import UUID

    from sdk.module_runtime.channels.preferences import ChannelKind, Preferences
    from sdk.module_runtime.module.channel import ModuleChannel
    from sdk.module_runtime.module.link import Link
    from sdk.module_runtime.protocol.messages import (
        ModuleToOrchestrator,
        PortRequest,
        PortResponse,
        RoutedModuleResponse,
        RouteToModule,
    )
    from sdk.module_runtime.protocol.services import ServiceProvider
    from sdk.module_runtime.protocol.streaming import Priority

T = TypeVar("T")


class Links:
    """``OrchestratorLink``. A request that did not leave one way goes another; one that left is never repeated here,
    because nobody knows whether it was done. A channel that was silent through one is avoided for a while.

    Under a foreign orchestrator everything goes over stdio: on its channels Rust answers no request of these kinds.
    """

    def __init__(self, stdio: Link, preferences: Preferences, *, over_channels: bool) -> None:
        self._stdio, self._preferences, self._over_channels = stdio, preferences, over_channels
        self._channels: dict[ChannelKind, ModuleChannel] = {}
        self._order: list[ChannelKind] = []
        self._usual = Ranking((), ())
        self._conditions = Conditions()

    def add(self, channel: ModuleChannel) -> None:
        """In the order of preference."""
        self._channels[channel.target.kind] = channel
        self._order.append(channel.target.kind)
        self._usual = Ranking(tuple(self._preferences.to_try(self._order, self._order)), ())

    @property
    def extensions(self) -> frozenset[str]:
        return self._stdio.extensions

    @property
    def connected(self) -> list[ChannelKind]:
        return [kind for kind in self._order if self._channels[kind].link is not None]

    async def open_service(
        self, service_type: str | Mapping[str, str], config: Mapping[str, Any] | None, *, timeout: float | None = None
    ) -> str:
        return await self._over(lambda link: link.open_service(service_type, config, timeout=timeout))

    async def operate(
        self,
        connection_id: str,
        service_type: str | Mapping[str, str],
        operation: str,
        params: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        return await self._over(
            lambda link: link.operate(connection_id, service_type, operation, params, timeout=timeout)
        )

    async def get_secret(self, name: str, *, timeout: float | None = None) -> tuple[str, str | None]:
        return await self._over(lambda link: link.get_secret(name, timeout=timeout))

    async def extension_call(self, extension: str, operation: str, params: Any, *, timeout: float | None = None) -> Any:
        return await self._over(lambda link: link.extension_call(extension, operation, params, timeout=timeout))

    async def request_port(self, request: PortRequest, *, timeout: float) -> PortResponse:
        return await self._stdio.request_port(request, timeout=timeout)

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
        return await self._over(
            lambda link: link.register_provider(
                service_type, name, address, version=version, metadata=metadata, timeout=timeout
            )
        )

    async def discover_providers(
        self,
        service_type: str | Mapping[str, str],
        *,
        all_providers: bool | None = None,
        timeout: float | None = None,
    ) -> list[ServiceProvider]:
        """Who offers a service: one that is healthy, or all of them."""
        return await self._over(
            lambda link: link.discover_providers(service_type, all_providers=all_providers, timeout=timeout)
        )

    async def route(self, request: RouteToModule, *, timeout: float | None = None) -> RoutedModuleResponse:
        """Over a channel whoever the orchestrator is: Rust routes between modules there."""
        return await self._over(lambda link: link.route(request, timeout=timeout), any_channel=True)

    async def stream(
        self,
        data: bytes | AsyncIterable[bytes],
        *,
        to: str | None = None,
        content_type: str | None = None,
        priority: Priority = "Normal",
    ) -> UUID:
        """Send large data over a channel until all of it is acknowledged: by the module ``to``, or the orchestrator.

        Unless it is urgent it takes another channel than requests do, where there is one.
        ``StreamFailed``, ``LinkClosed``.
        """
        properties = {} if to is None else {TARGET: to}
        ranking = self._rank(is_bulk=priority in ("Low", "Normal"))
        for kind in ranking.well + ranking.resting:
            streams = self._channels[kind].streams
            if streams is not None:
                return await streams.send(data, content_type=content_type, priority=priority, properties=properties)
        raise NotSent("no channel is open, and stdio carries no streams")

    async def send(self, message: ModuleToOrchestrator) -> None:
        """What has no answer, or is one, by whatever way is open."""
        await self._over(lambda link: link.send(message))

    async def acknowledge_rotation(self, rotation_id: str, *, success: bool, message: str | None = None) -> None:
        await self._over(lambda link: link.acknowledge_rotation(rotation_id, success=success, message=message))

    def on_rotated(self, listener: Callable[[Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        return self._stdio.on_rotated(listener)

    async def _over(self, ask: Callable[[Link], Awaitable[T]], *, any_channel: bool = False) -> T:
        """By channels that do well, else stdio, else by one that was silent before."""
        if not self._order or not (self._over_channels or any_channel):
            return await ask(self._stdio)
        ranking = self._rank()
        for kind in ranking.well:
            try:
                return await self._by(kind, ask)
            except NotSent:
                continue
        if not ranking.resting:
            return await ask(self._stdio)
        with contextlib.suppress(NotSent):
            return await ask(self._stdio)
        for kind in ranking.resting[:-1]:
            with contextlib.suppress(NotSent):
                return await self._by(kind, ask)
        return await self._by(ranking.resting[-1], ask)

    async def _by(self, kind: ChannelKind, ask: Callable[[Link], Awaitable[T]]) -> T:
        channel = self._channels[kind]
        link = channel.link
        if link is None:
            raise NotSent(f"the {kind} channel is not open")
        heard = link.heard
        try:
            answer = await ask(link)
        except LinkTimeout:
            if link.heard == heard:
                self._conditions.silent(kind, asyncio.get_running_loop().time())
            raise
        self._conditions.heard(kind)
        return answer

    def _rank(self, *, is_bulk: bool = False) -> Ranking:
        """Of channels that may be open, unless all are well: one that is not takes nothing, and the next is tried."""
        if self._conditions.are_good and not is_bulk:
            return self._usual
        open_ = self._preferences.to_try(self._order, self.connected)
        return self._conditions.rank(open_, asyncio.get_running_loop().time(), is_bulk=is_bulk)
