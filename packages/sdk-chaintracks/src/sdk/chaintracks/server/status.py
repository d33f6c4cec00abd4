"""What the service is doing, for a page and for monitors: ``GET /v2/status``, and figures for Prometheus."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sdk.chaintracks.consensus.fields import display, header_json
from sdk.chaintracks.server.answers import answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry, Metric

    from sdk.chaintracks.engine import Chaintracks
    from sdk.chaintracks.events import TipEvent
    from sdk.chaintracks.server.subscribers import Subscribers
    from sdk.core.ports import Clock

REORGS: Final = 20
"""Reorganisations that are remembered for the page."""


class Status:
    """``lag`` is the age of the tip in seconds: by its own time, so of a chain that nobody mines it grows."""

    def __init__(self, service: Chaintracks, subscribers: Subscribers, clock: Clock) -> None:
        self._service, self._subscribers, self._clock = service, subscribers, clock
        self._chain = service.chain
        self.reorgs: deque[dict[str, Any]] = deque(maxlen=REORGS)
        self._chain.listeners.append(self._note)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.get("/v2/status", self.status)]

    def _note(self, event: TipEvent) -> None:
        if event.removed:
            self.reorgs.append(
                {
                    "at": event.at.isoformat(),
                    "depth": event.depth,
                    "fork": event.first_added - 1,
                    "oldTip": {"height": event.removed[0].height, "hash": display(event.removed[0].hash)},
                    "newTip": {"height": event.tip.height, "hash": display(event.tip.hash)},
                    "deactivated": [display(each.hash) for each in event.removed[:100]],
                }
            )

    async def status(self, request: web.Request) -> web.Response:
        tip, fault = self._chain.tip, self._service.fault()
        value = {
            "network": self._chain.rules.chain,
            "tip": header_json(tip.raw, tip.height, tip.hash),
            "work": f"{tip.work:064x}",
            "lag": self.lag,
            "current": fault is None,
            "reason": fault,
            "cursor": str(self._subscribers.feed.newest),
            "sources": [
                {
                    "name": each.name,
                    "state": each.state,
                    "lastError": each.last_error,
                    "lastHeight": each.last_height,
                    "claimed": each.claimed,
                    "tells": each.tells,
                    "lastSeen": None if each.last_seen is None else each.last_seen.isoformat(),
                }
                for each in self._service.sources_status()
            ],
            "subscribers": dict(self._subscribers.kinds),
            "reorgs": [*self.reorgs],
        }
        return answer(request, value)

    @property
    def lag(self) -> int:
        return max(0, int(self._clock().timestamp()) - self._chain.tip.time)


class ChaintracksMetrics(Collector):
    """Height, lag, sources, subscribers, and how deep reorganisations went."""

    def __init__(self, service: Chaintracks, subscribers: Subscribers, status: Status) -> None:
        self._service, self._subscribers, self._status = service, subscribers, status

    @classmethod
    def register(
        cls, registry: CollectorRegistry, service: Chaintracks, subscribers: Subscribers, status: Status
    ) -> None:
        registry.register(cls(service, subscribers, status))
        depths = Histogram(
            "chaintracks_reorg_depth",
            "Headers that a reorganisation removed.",
            buckets=(1, 2, 3, 6, 10, 100),
            registry=registry,
        )

        def note(event: TipEvent) -> None:
            if event.depth:
                depths.observe(event.depth)

        service.chain.listeners.append(note)

    def collect(self) -> Iterator[Metric]:
        chain, subscribers = self._service.chain, self._subscribers
        yield _gauge("chaintracks_height", "Height of the tip.", chain.tip.height)
        yield _gauge("chaintracks_tip_age_seconds", "Seconds since the time in the tip's header.", self._status.lag)
        yield _gauge("chaintracks_current", "Whether a source confirms the tip.", int(self._service.is_current))
        yield CounterMetricFamily("chaintracks_events", "Changes of the tip so far.", value=chain.last_event)
        yield CounterMetricFamily("chaintracks_gaps", "Gaps told to subscribers.", value=subscribers.feed.gaps)
        sources = GaugeMetricFamily("chaintracks_source_up", "Whether a source answers.", labels=["source", "state"])
        for each in self._service.sources_status():
            sources.add_metric([each.name, each.state], int(each.state == "ok"))
        yield sources
        heights = GaugeMetricFamily(
            "chaintracks_source_height", "Height of the best block a source says it has.", labels=["source"]
        )
        for each in self._service.sources_status():
            if each.claimed is not None:
                heights.add_metric([each.name], each.claimed)
        yield heights
        count = GaugeMetricFamily("chaintracks_subscribers", "Open subscriptions.", labels=["kind"])
        for kind in ("websocket", "sse"):
            count.add_metric([kind], subscribers.kinds[kind])
        yield count
        dropped = CounterMetricFamily("chaintracks_subscribers_dropped", "Let go by us.", labels=["reason"])
        for reason in ("stall", "flood", "drain"):
            dropped.add_metric([reason], subscribers.dropped[reason])
        yield dropped


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
