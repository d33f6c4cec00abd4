"""All ways to the orchestrator as one: each request takes the preferred way that is open."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sdk.module_runtime.channels.routing import (
    HUGE,
    Conditions,
    Health,
    Ranking,
    Traits,
    is_local,
    rank,
    rule_of,
)
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, NotSent, ServiceOperationFailed
from sdk.module_runtime.protocol.streaming import TARGET
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
    from uuid import UUID

    from sdk.module_runtime.channels.metrics import ChannelMetrics
    from sdk.module_runtime.channels.preferences import ChannelKind, Preferences
    from sdk.module_runtime.channels.routing import MessagePriority, Rule
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

_log = get_logger(__name__)
T = TypeVar("T")
WATCH_EVERY: Final = 30.0
_PRIORITIES: Final[dict[Priority, MessagePriority]] = {
    "Low": "low",
    "Normal": "normal",
    "High": "high",
    "Critical": "critical",
}


class Links:
    """``OrchestratorLink``. A request that did not leave one way goes another; one that left is never repeated here,
    because nobody knows whether it was done. A channel that was silent through one is avoided for a while.

    Under a foreign orchestrator everything goes over stdio: on its channels Rust answers no request of these kinds.
    """

    def __init__(self, stdio: Link, preferences: Preferences, *, over_channels: bool) -> None:
        self._stdio, self._preferences, self._over_channels = stdio, preferences, over_channels
        self._clock = asyncio.get_running_loop().time
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

    async def route(
        self, request: RouteToModule, traits: Traits, *, timeout: float | None = None
    ) -> RoutedModuleResponse:
        """Over a channel whoever the orchestrator is: Rust routes between modules there. ``traits`` decide which."""
        ranking = self._rank_for(traits, request.target_module_id)
        return await self._by_ranking(lambda link: link.route(request, timeout=timeout), ranking)

    async def stream(
        self,
        data: bytes | AsyncIterable[bytes],
        *,
        to: str | None = None,
        content_type: str | None = None,
        priority: Priority = "Normal",
    ) -> UUID:
        """Send large data over a channel until all of it is acknowledged: by the module ``to``, or the orchestrator.

        As ``TABLE`` has it, which leaves the channel of short messages to them unless the stream is critical.
        ``StreamFailed``, ``LinkClosed``.
        """
        properties = {} if to is None else {TARGET: to}
        size = len(data) if isinstance(data, bytes) else HUGE
        ranking = self._rank_for(Traits(_PRIORITIES[priority], "stream", size), to or "")
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

    async def watch(self, every: float = WATCH_EVERY) -> None:
        """Until cancelled: say in the log what is wrong with a channel, as often as its ``Thresholds`` allow."""
        while True:
            await asyncio.sleep(every)
            for kind, channel in self._channels.items():
                for about, value, threshold in channel.metrics.due_alerts(self._clock()):
                    _log.warning("channel_alert", channel=kind, about=about, value=value, threshold=threshold)

    def metrics(self) -> list[tuple[list[str], ChannelMetrics]]:
        """By channel, for ``ExportedChannels``. Times are the event loop's."""
        return [([kind], channel.metrics) for kind, channel in self._channels.items()]

    def _over(self, ask: Callable[[Link], Awaitable[T]]) -> Awaitable[T]:
        """What is the orchestrator's to do goes the preferred way whatever its size, so that it stays in order.

        By channels that do well, else stdio, else by one that was silent before.
        """
        return self._by_ranking(ask, self._rank()) if self._over_channels else ask(self._stdio)

    async def _by_ranking(self, ask: Callable[[Link], Awaitable[T]], ranking: Ranking) -> T:
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
        heard, metrics, clock = link.heard, channel.metrics, self._clock
        began = clock()
        metrics.in_flight += 1
        try:
            answer = await ask(link)
        except (LinkTimeout, LinkClosed) as error:
            now = clock()
            metrics.fail(now)
            if isinstance(error, LinkTimeout) and link.heard == heard:
                self._conditions.silent(kind, now)
            raise
        except ServiceOperationFailed:  # which is an answer
            metrics.answer(clock() - began, clock())
            raise
        finally:
            metrics.in_flight -= 1
        now = clock()
        metrics.answer(now - began, now)
        self._conditions.heard(kind)
        return answer

    def _rank(self) -> Ranking:
        """Of channels that may be open, unless all are well: one that is not takes nothing, and the next is tried."""
        if self._conditions.are_good:
            return self._usual
        open_ = self._preferences.to_try(self._order, self.connected)
        return self._conditions.rank(open_, self._clock())

    def _rank_for(self, traits: Traits, target: str) -> Ranking:
        rule, now = rule_of(traits, is_local(target)), self._clock()
        order = self._preferences.to_try(self._preferences.order(rule, self._order), self.connected)
        return rank(rule, order, {kind: self._health(kind, rule, now) for kind in order})

    def _health(self, kind: ChannelKind, rule: Rule, now: float) -> Health:
        metrics = self._channels[kind].metrics
        p95 = None if rule.within is None else metrics.recent_p95(now)
        return Health(p95, metrics.in_flight, self._conditions.rests(kind, now))
