"""Channels as Prometheus sees them: read when it asks, so that nothing is paid for in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sdk.module_runtime.channels.metrics import Objectives, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from sdk.module_runtime.channels.metrics import ChannelMetrics


class ExportedChannels(Collector):
    """``channels`` gives the values of ``labels``, whose last is ``channel``, with the metrics of each."""

    def __init__(
        self,
        labels: Sequence[str],
        channels: Callable[[], Iterable[tuple[Sequence[str], ChannelMetrics]]],
        clock: Callable[[], float],
        promised: Objectives | None = None,
    ) -> None:
        self._labels, self._channels, self._clock = labels, channels, clock
        self._promised = promised or Objectives()

    def collect(self) -> Iterator[Metric]:
        messages = self._counter("messages", "Messages.", "direction")
        octets = self._counter("bytes", "Bytes of frames.", "direction")
        requests = self._counter("requests", "Requests that were answered, or were not.", "outcome")
        connections = self._counter("connections", "Times it was opened.")
        alerts = self._counter("alerts", "Times somebody was told that something is wrong.", "about")
        in_flight = self._gauge("in_flight", "Requests that wait for their answer.")
        latency = self._gauge("latency_seconds", "Of the last 1000 requests.", "of")
        error_rate = self._gauge("error_rate", "Share of requests without an answer, in the last hour.")
        available = self._gauge("availability", "Share of the last hour in which it was open.")
        objective = self._gauge("objective_met", "1 where what is promised of it is kept.", "objective")
        for labels, metrics in self._channels():
            figures = metrics.figures(self._clock())
            messages.add_metric([*labels, "sent"], figures.messages_sent)
            messages.add_metric([*labels, "received"], figures.messages_received)
            octets.add_metric([*labels, "sent"], figures.bytes_sent)
            octets.add_metric([*labels, "received"], figures.bytes_received)
            requests.add_metric([*labels, "answered"], figures.answered)
            requests.add_metric([*labels, "failed"], figures.failed)
            connections.add_metric(labels, figures.connections)
            for about, count in metrics.alerts.items():
                alerts.add_metric([*labels, about], count)
            in_flight.add_metric(labels, figures.in_flight)
            for of, seconds in figures.latency._asdict().items():
                latency.add_metric([*labels, of], seconds)
            error_rate.add_metric(labels, figures.error_rate)
            available.add_metric(labels, figures.availability)
            for name, is_met in kept(figures, self._promised):
                objective.add_metric([*labels, name], float(is_met))
        yield from (messages, octets, requests, connections, alerts)
        yield from (in_flight, latency, error_rate, available, objective)

    def _counter(self, name: str, text: str, *more: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"runtime_channel_{name}", text, labels=[*self._labels, *more])

    def _gauge(self, name: str, text: str, *more: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"runtime_channel_{name}", text, labels=[*self._labels, *more])
