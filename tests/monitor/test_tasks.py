"""The monitor's own tasks over a scripted backend."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.errors import ConfigurationError, InvalidOperation, ServiceUnavailable
from sdk.core.plugins import PluginRegistry
from sdk.monitor.monitor import Monitor, installed_tasks
from sdk.monitor.server import TaskMetrics, monitor_app, monitor_registry
from sdk.monitor.settings import MonitorSettings
from sdk.monitor.storage.migrations import MIGRATIONS
from sdk.monitor.storage.task_rows import recent_log
from sdk.service.database import Database
from sdk.service.http_app import running
from sdk.service.http_client import HttpClient
from sdk.service.migrations import status
from support.monitor_rig import Report, ScriptedBackend, Tip
from support.wallet_rows import TestClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES = ("check-for-proofs", "fail-abandoned", "new-header", "reorg", "send-waiting", "trim-log")


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/monitor.db")
    yield opened
    await opened.close()


@pytest.fixture
def monitor(backend: ScriptedBackend, database: Database, clock: TestClock) -> Monitor:
    return Monitor(backend, database, clock=clock, settings=MonitorSettings())


async def outcomes(monitor: Monitor, *names: str) -> dict[str, str]:
    return {run.name: run.outcome for run in await monitor.run_once(names)}


async def test_the_installed_tasks_are_those_of_the_distribution(monitor: Monitor) -> None:
    assert tuple(PluginRegistry[Any]("sdk.monitor.tasks")) == NAMES
    assert monitor.scheduler.names == NAMES
    assert [task.name for task in installed_tasks(["reorg", "trim-log"])] == [
        name for name in NAMES if name not in ("reorg", "trim-log")
    ]
    with pytest.raises(ConfigurationError, match="no-such"):
        installed_tasks(["no-such"])


async def test_a_tip_counts_once_it_was_seen_again(
    monitor: Monitor, backend: ScriptedBackend, clock: TestClock
) -> None:
    await monitor.run_once(["new-header"])
    await monitor.run_once(["check-for-proofs", "reorg"])
    assert (backend.called("check_for_proofs"), backend.called("follow_tip")) == (0, 0)
    await monitor.run_once(["new-header"])
    assert set(await outcomes(monitor)) >= {"check-for-proofs", "reorg"}  # woken
    assert ("check_for_proofs", {"up_to_height": 100, "limit": 100}) in backend.calls
    assert ("follow_tip", {"tip": (100, "aa" * 32)}) in backend.calls


async def test_a_tip_that_flickers_never_counts(monitor: Monitor, backend: ScriptedBackend) -> None:
    for number in range(6):
        backend.chain_tip = Tip(100, ("aa" if number % 2 else "bb") * 32)
        await monitor.run_once(["new-header", "reorg"])
    assert backend.called("follow_tip") == 0


async def test_a_reorganisation_to_a_lower_tip_is_followed(monitor: Monitor, backend: ScriptedBackend) -> None:
    await monitor.run_once(["new-header", "new-header", "reorg"])
    backend.chain_tip = Tip(99, "cc" * 32)
    await monitor.run_once(["new-header", "new-header", "reorg"])
    followed = [given["tip"] for name, given in backend.calls if name == "follow_tip"]
    assert followed == [(100, "aa" * 32), (99, "cc" * 32)]


async def test_a_tip_that_could_not_be_followed_is_followed_later(
    monitor: Monitor, backend: ScriptedBackend, clock: TestClock
) -> None:
    backend.will("follow_tip", ServiceUnavailable("headers", "down"))
    await monitor.run_once(["new-header", "new-header"])
    assert (await outcomes(monitor, "reorg"))["reorg"] == "error"
    assert (await outcomes(monitor, "reorg"))["reorg"] == "ok"
    await monitor.run_once(["reorg"])
    assert backend.called("follow_tip") == 2


async def test_what_a_reorg_demoted_is_looked_for_at_once(
    monitor: Monitor, backend: ScriptedBackend, clock: TestClock
) -> None:
    await monitor.run_once(["new-header", "new-header"])
    await monitor.run_once()
    backend.will("follow_tip", Report(2, detail={"demoted": 2}))
    backend.chain_tip = Tip(101, "dd" * 32)
    await monitor.run_once(["new-header", "new-header", "check-for-proofs", "reorg"])
    assert "check-for-proofs" in await outcomes(monitor)


async def test_sending_goes_on_while_there_is_more(
    monitor: Monitor, backend: ScriptedBackend, clock: TestClock
) -> None:
    backend.will("send_waiting", Report(100, more=True), Report(7))
    await monitor.run_once(["send-waiting"])
    assert "send-waiting" in await outcomes(monitor)
    assert "send-waiting" not in await outcomes(monitor)
    assert backend.calls[0] == ("send_waiting", {"min_age": timedelta(seconds=7), "limit": 100})


async def test_abandoned_work_is_given_up_by_the_settings(
    database: Database, backend: ScriptedBackend, clock: TestClock
) -> None:
    monitor = Monitor(backend, database, clock=clock, settings=MonitorSettings(abandoned_after=60, chunk=5))
    await monitor.run_once(["fail-abandoned"])
    assert backend.calls == [("fail_abandoned", {"older_than": timedelta(seconds=60), "limit": 5})]


async def test_r75_the_log_is_trimmed(
    monitor: Monitor, backend: ScriptedBackend, database: Database, clock: TestClock
) -> None:
    backend.will("send_waiting", Report(1), Report(1))
    await monitor.run_once(["send-waiting"])
    clock.tick(days=29)
    await monitor.run_once(["send-waiting", "trim-log"])
    assert len(await database.read(recent_log, 10)) == 2
    clock.tick(days=2)
    await monitor.run_once(["trim-log"])
    left = [row.task for row in await database.read(recent_log, 10)]
    assert left == ["trim-log", "send-waiting"]


async def test_start_works_until_stop(database: Database, backend: ScriptedBackend) -> None:
    monitor = Monitor(backend, database, settings=MonitorSettings(intervals={"new-header": 0.01}, poll=0.01))
    assert await monitor.readiness() == "the monitor does not run"
    await monitor.start()
    with pytest.raises(InvalidOperation, match="running already"):
        await monitor.start()
    while backend.called("check_for_proofs") == 0 or backend.called("send_waiting") == 0:
        assert await monitor.readiness() is None
        await _turn()
    await monitor.stop()
    await monitor.stop()
    calls = len(backend.calls)
    await _turn()
    assert len(backend.calls) == calls
    assert not backend.closed


async def _turn() -> None:
    await asyncio.sleep(0.005)


async def test_health_metrics_and_tasks_over_http(
    database: Database, backend: ScriptedBackend, clock: TestClock
) -> None:
    registry = monitor_registry()
    monitor = Monitor(backend, database, clock=clock, settings=MonitorSettings(), on_finish=TaskMetrics(registry))
    backend.will("send_waiting", Report(3, detail={"success": 2, "serviceError": 1}))
    await monitor.run_once(["send-waiting"])
    async with running(monitor_app(monitor, registry)) as server, HttpClient(server.url, service="monitor") as http:
        assert (await http.request("GET", "/healthz")).status == 200
        ready = await http.request("GET", "/readyz", idempotent=False, check=False)
        assert ready.status == 503
        assert "does not run" in ready.text()
        await monitor.start()
        assert (await http.request("GET", "/readyz")).status == 200
        text = (await http.request("GET", "/metrics")).text()
        assert 'monitor_task_items_total{task="send-waiting"} 3.0' in text
        assert 'monitor_task_outcomes_total{task="send-waiting",what="success"} 2.0' in text
        listed = await http.get_json("/tasks")
        assert [each["name"] for each in listed["tasks"]] == list(NAMES)
        await monitor.stop()


async def test_migrations_are_complete(monitor: Monitor, database: Database) -> None:
    await monitor.prepare()
    (found,) = await status(database, [MIGRATIONS])
    assert found.up_to_date
    drift = await database.read(lambda unit: MIGRATIONS.drift(unit.connection))
    assert drift == []
