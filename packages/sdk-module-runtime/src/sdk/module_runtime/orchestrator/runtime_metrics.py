"""Prometheus figures of an orchestrator, read when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sdk.module_runtime.channels.exported import ExportedChannels
from sdk.module_runtime.orchestrator.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from sdk.module_runtime.channels.metrics import ChannelMetrics
    from sdk.module_runtime.orchestrator.orchestrator import Orchestrator

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICK: Final = os.sysconf("SC_CLK_TCK")


class RuntimeMetrics(Collector):
    """States, restarts, messages, channels, memory and time of processor by module; answers of the gateway."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._channels = ExportedChannels(("module", "channel"), self._channel_metrics, orchestrator.clock)

    def _channel_metrics(self) -> Iterator[tuple[list[str], ChannelMetrics]]:
        for name, module in self._orchestrator.modules.items():
            if module.instance is not None and module.instance.listener is not None:
                for label, metrics in module.instance.listener.metrics.items():
                    yield [name, label], metrics
        if self._orchestrator.registrar is not None:
            for each in self._orchestrator.registrar.modules:
                yield [each.info.name, "registered"], each.metrics

    def collect(self) -> Iterator[Metric]:
        modules = self._orchestrator.modules
        state = GaugeMetricFamily("runtime_module_state", "1 for the state it is in.", labels=["module", "state"])
        restarts = CounterMetricFamily("runtime_module_restarts", "Starts after a crash.", labels=["module"])
        received = GaugeMetricFamily("runtime_module_messages", "Messages of this instance.", labels=["module"])
        refused = GaugeMetricFamily("runtime_module_refused", "Messages that were none.", labels=["module"])
        memory = GaugeMetricFamily("runtime_module_memory_bytes", "Resident memory.", labels=["module"])
        processor = GaugeMetricFamily("runtime_module_processor_seconds", "Processor time.", labels=["module"])
        for name, module in modules.items():
            for each in State:
                state.add_metric([name, each.value], float(module.state is each))
            restarts.add_metric([name], module.restarts)
            instance = module.instance
            if instance is None:
                continue
            used = _usage(instance.process.pid)
            if used is not None:
                memory.add_metric([name], used[0])
                processor.add_metric([name], used[1])
            received.add_metric([name], instance.conversation.received)
            refused.add_metric([name], instance.conversation.refused)
        yield from (state, restarts, received, refused, memory, processor)
        yield from self._channels.collect()
        gateway = self._orchestrator.gateway
        if gateway is not None:
            answers = CounterMetricFamily("runtime_gateway_answers", "Requests answered.", labels=["module", "status"])
            for (module_id, status), count in gateway.answered.items():
                answers.add_metric([module_id, str(status)], count)
            streams = GaugeMetricFamily(
                "runtime_gateway_streams", "WebSockets and event streams that are open.", labels=["module"]
            )
            for module_id, count in gateway.lasting.items():
                streams.add_metric([module_id], count)
            yield from (answers, streams)


def _usage(pid: int) -> tuple[float, float] | None:
    """Bytes of memory and seconds of processor time; None if the process has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[21]) * _PAGE, (int(fields[11]) + int(fields[12])) / _TICK
