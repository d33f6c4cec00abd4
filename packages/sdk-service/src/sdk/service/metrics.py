"""Prometheus metrics, with a registry for each application so that several live in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from sdk.service.database import Database

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Histogram bounds for durations."""


def create_registry(component: str | None = None, version: str | None = None) -> CollectorRegistry:
    """A registry with the process's own figures and, if named, ``sdk_build_info``."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if component is not None:
        info = Gauge("sdk_build_info", "The component that answers here.", ["component", "version"], registry=registry)
        info.labels(component, version or "unknown").set(1)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The text exposition format."""
    return generate_latest(registry)


class DatabaseMetrics(Collector):
    """Reads a database's figures when it is asked for: ``registry.register(DatabaseMetrics(database))``."""

    def __init__(self, database: Database, name: str = "main") -> None:
        self._figures, self._name = database.figures, name

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        for metric, text, value in (
            ("database_units", "Units of work done.", figures.units),
            ("database_commits", "Commits; units over commits is the size of a group.", figures.commits),
            ("database_repeats", "Units run again after a lost race or transaction.", figures.repeats),
        ):
            counter = CounterMetricFamily(metric, text, labels=["database"])
            counter.add_metric([self._name], value)
            yield counter
        waiting = GaugeMetricFamily("database_units_waiting", "Units queued now.", labels=["database"])
        waiting.add_metric([self._name], figures.waiting)
        yield waiting


class HttpMetrics:
    """What every HTTP service counts; ``route`` is the pattern, so that the number of series is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("http_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
        self.seconds = Histogram(
            "http_request_seconds", "From request to answer.", ["method", "route"], buckets=SECONDS, registry=registry
        )
        self.in_flight = Gauge("http_requests_in_flight", "Requests being worked on.", registry=registry)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.refused = Counter("http_requests_refused", "Requests refused by a limit.", ["limit"], registry=registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answer. Looking up labelled series is the costly part, so they are kept: routes and statuses are few."""
        key = (method, route, status)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = (self.requests.labels(*key), self.seconds.labels(method, route))
        found[0].inc()
        found[1].observe(seconds)
