"""Health, metrics and the state of the tasks over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram

from sdk.service.database.types import to_text
from sdk.service.http_app import create_app
from sdk.service.metrics import SECONDS, create_registry

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from sdk.monitor.monitor import Monitor
    from sdk.monitor.storage.task_rows import Finished
    from sdk.service.database import Row


class TaskMetrics:
    """Counts what ``Scheduler`` tells it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter("monitor_task_runs", "Runs by outcome.", ["task", "outcome"], registry=registry)
        self._items = Counter("monitor_task_items", "Items processed.", ["task"], registry=registry)
        self._detail = Counter("monitor_task_outcomes", "What became of items.", ["task", "what"], registry=registry)
        self._seconds = Histogram(
            "monitor_task_seconds", "Duration of a run.", ["task"], buckets=SECONDS, registry=registry
        )
        self._failures = Gauge("monitor_task_failures_in_a_row", "Failed runs in a row.", ["task"], registry=registry)

    def __call__(self, run: Finished) -> None:
        self._runs.labels(run.name, run.outcome).inc()
        self._items.labels(run.name).inc(run.processed)
        self._seconds.labels(run.name).observe(run.milliseconds / 1000)
        self._failures.labels(run.name).set(run.failures)
        for what, count in run.detail.items():
            if what != "height":
                self._detail.labels(run.name, what).inc(count)


def monitor_registry() -> CollectorRegistry:
    return create_registry("monitor")


def monitor_app(monitor: Monitor, registry: CollectorRegistry) -> web.Application:
    """``GET /tasks`` beside ``/healthz``, ``/readyz`` and ``/metrics``."""

    async def tasks(_request: web.Request) -> web.Response:
        return web.json_response({"tasks": [task_members(row) for row in await monitor.status()]})

    return create_app("monitor", [web.get("/tasks", tasks)], checks={"scheduler": monitor.readiness}, registry=registry)


def task_members(row: Row) -> dict[str, Any]:
    """A task's row as JSON members, without its state."""

    def moment(value: Any) -> str | None:
        return None if value is None else to_text(value)

    return {
        "name": row.name,
        "owner": row.owner,
        "leaseUntil": moment(row.lease_until),
        "nextRun": moment(row.next_run),
        "lastStarted": moment(row.last_started),
        "lastFinished": moment(row.last_finished),
        "outcome": row.outcome,
        "message": row.message or "",
        "runs": row.runs,
        "failures": row.failures,
        "processed": row.processed,
    }
