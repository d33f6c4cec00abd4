"""When a task runs, by whom, and what happens when it fails (R68, R69)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.errors import ServiceUnavailable
from sdk.monitor.errors import UnknownTask
from sdk.monitor.scheduler import Scheduler
from sdk.monitor.settings import MonitorSettings
from sdk.monitor.storage.migrations import MIGRATIONS
from sdk.monitor.storage.task_rows import all_tasks, claim, recent_log
from sdk.monitor.tasks.base import TaskResult
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.databases import DIALECTS, LENT, empty_database
from support.monitor_rig import ScriptedBackend, ScriptedTask
from support.wallet_rows import TestClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(params=(*DIALECTS, *LENT))
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    with empty_database(request.param, tmp_path) as (url, schema):
        async with await Database.open(url, schema=schema) as opened:
            await upgrade(opened, [MIGRATIONS])
            yield opened


def scheduler(database: Database, clock: TestClock, *tasks: ScriptedTask, owner: str = "one", **more: Any) -> Scheduler:
    settings = MonitorSettings(**{"grace": 5.0, **more})
    return Scheduler(database, ScriptedBackend(), tasks, settings=settings, clock=clock, owner=owner)


async def _turn() -> None:
    await asyncio.sleep(0.001)


async def rows(database: Database) -> dict[str, Any]:
    return {row.name: row for row in await database.read(all_tasks)}


async def test_a_task_runs_when_it_is_due_and_not_before(database: Database, clock: TestClock) -> None:
    task = ScriptedTask("a")
    one = scheduler(database, clock, task)
    await one.prepare()
    assert [run.name for run in await one.run_due()] == ["a"]
    assert await one.run_due() == []
    clock.tick(seconds=9.9)
    assert await one.run_due() == []
    clock.tick(seconds=0.2)
    assert [run.outcome for run in await one.run_due()] == ["ok"]
    assert task.runs == 2
    assert (await rows(database))["a"].runs == 2


async def test_more_work_is_done_at_once_and_others_are_woken(database: Database, clock: TestClock) -> None:
    first = ScriptedTask("a", TaskResult(3, {"sent": 3}, again=True), TaskResult(wake=("b",)))
    second = ScriptedTask("b", interval=timedelta(hours=1))
    one = scheduler(database, clock, first, second)
    await one.prepare()
    await one.run_due()
    assert [run.name for run in await one.run_due()] == ["a"]
    assert [run.name for run in await one.run_due()] == ["b"]
    (entry,) = await database.read(recent_log, 10)
    assert (entry.task, entry.processed, entry.detail) == ("a", 3, '{"sent":3}')


async def test_r68_a_task_that_fails_leaves_the_others_alone_and_backs_off(
    database: Database, clock: TestClock
) -> None:
    broken = ScriptedTask("broken", ValueError("a bug"), ServiceUnavailable("arc", "down"))
    sound = ScriptedTask("sound")
    one = scheduler(database, clock, broken, sound)
    await one.prepare()
    assert {run.name: run.outcome for run in await one.run_due()} == {"broken": "error", "sound": "ok"}
    assert "a bug" in (await rows(database))["broken"].message
    clock.tick(seconds=10)
    assert [run.name for run in await one.run_due()] == ["sound"]
    clock.tick(seconds=10)
    assert {run.name: run.outcome for run in await one.run_due()} == {"broken": "error", "sound": "ok"}
    assert (await rows(database))["broken"].failures == 2
    clock.tick(seconds=41)
    assert {run.name: run.outcome for run in await one.run_due()} == {"broken": "ok", "sound": "ok"}
    assert (await rows(database))["broken"].failures == 0
    assert (await rows(database))["broken"].message == ""


async def test_r68_a_task_that_hangs_is_ended(database: Database, clock: TestClock) -> None:
    hanging, sound = ScriptedTask("hanging", asyncio.Event()), ScriptedTask("sound")
    one = scheduler(database, clock, hanging, sound, time_limit=0.05)
    await one.prepare()
    assert {run.name: run.outcome for run in await one.run_due()} == {"hanging": "timeout", "sound": "ok"}
    assert (hanging.cancelled, one.running) == (1, ())


async def test_r69_two_workers_never_run_a_task_at_the_same_time(database: Database, clock: TestClock) -> None:
    gate = asyncio.Event()
    mine, theirs = ScriptedTask("a", gate), ScriptedTask("a")
    one, two = scheduler(database, clock, mine), scheduler(database, clock, theirs, owner="two")
    await one.prepare()
    await one.spawn_due()
    await mine.started.wait()
    clock.tick(seconds=30)
    assert await two.run_due() == []
    assert await two.run_now(["a"]) == []
    assert (await rows(database))["a"].owner == "one"
    gate.set()
    stop = asyncio.Event()
    stop.set()
    await one.run(stop)
    assert (mine.runs, theirs.runs) == (1, 0)
    assert (await rows(database))["a"].owner is None


async def test_r69_a_dead_workers_task_is_taken_over_when_its_lease_ends(database: Database, clock: TestClock) -> None:
    task = ScriptedTask("a")
    one = scheduler(database, clock, task)
    await one.prepare()
    dead = await database.write(claim, ["a"], owner="dead", now=clock(), until=clock() + timedelta(seconds=60))
    assert [each.name for each in dead] == ["a"]
    clock.tick(seconds=59)
    assert await one.run_due() == []
    clock.tick(seconds=2)
    assert [run.outcome for run in await one.run_due()] == ["ok"]


async def test_a_run_whose_lease_was_lost_is_ended_and_leaves_nothing(database: Database, clock: TestClock) -> None:
    task = ScriptedTask("a", asyncio.Event())
    one = scheduler(database, clock, task, lease=0.06)
    await one.prepare()
    await one.spawn_due()
    await task.started.wait()
    taken: list[Any] = []
    while not taken:  # it may renew in between
        clock.tick(seconds=10)
        taken = await database.write(claim, ["a"], owner="two", now=clock(), until=clock() + timedelta(seconds=60))
    while one.running:
        await asyncio.wait(list(one._running.values()), timeout=5)
    assert task.cancelled == 1
    assert (await rows(database))["a"].owner == "two"


async def test_the_lease_of_a_long_run_is_renewed(database: Database, clock: TestClock) -> None:
    gate = asyncio.Event()
    task = ScriptedTask("a", gate)
    one = scheduler(database, clock, task, lease=0.06)
    await one.prepare()
    await one.spawn_due()
    await task.started.wait()
    before = (await rows(database))["a"].lease_until
    clock.tick(seconds=30)
    while (await rows(database))["a"].lease_until <= before:
        await _turn()
    gate.set()
    await asyncio.wait(list(one._running.values()))
    assert (await rows(database))["a"].outcome == "ok"


async def test_a_wake_during_a_run_is_not_lost(database: Database, clock: TestClock) -> None:
    gate = asyncio.Event()
    slow = ScriptedTask("slow", gate, interval=timedelta(hours=1))
    caller = ScriptedTask("caller", TaskResult(wake=("slow",)))
    one = scheduler(database, clock, slow, caller)
    await one.prepare()
    await one.spawn_due()
    await slow.started.wait()
    while "caller" in one.running:
        await _turn()
    gate.set()
    while one.running:
        await _turn()
    assert [run.name for run in await one.run_due()] == ["slow"]


async def test_state_is_kept_and_follows_the_task_to_another_worker(database: Database, clock: TestClock) -> None:
    mine, theirs = ScriptedTask("a", TaskResult(state={"tip": 7})), ScriptedTask("a")
    one, two = scheduler(database, clock, mine), scheduler(database, clock, theirs, owner="two")
    await one.prepare()
    await one.run_due()
    clock.tick(seconds=10)
    await two.run_due()
    assert theirs.contexts[0].state == {"tip": 7}
    assert await theirs.contexts[0].state_of("a") == {"tip": 7}
    assert await theirs.contexts[0].state_of("unheard of") == {}


async def test_a_stop_waits_then_cancels_and_gives_leases_back(database: Database, clock: TestClock) -> None:
    gate = asyncio.Event()
    ends, hangs = ScriptedTask("ends", gate), ScriptedTask("hangs", asyncio.Event())
    one = scheduler(database, clock, ends, hangs, grace=0.05)
    await one.prepare()
    stop = asyncio.Event()
    loop = asyncio.create_task(one.run(stop))
    await asyncio.gather(ends.started.wait(), hangs.started.wait())
    gate.set()
    stop.set()
    await loop
    after = await rows(database)
    assert (after["ends"].outcome, after["ends"].owner) == ("ok", None)
    assert (after["hangs"].outcome, after["hangs"].owner, hangs.cancelled) == ("cancelled", None, 1)
    two = scheduler(database, clock, ScriptedTask("hangs"), owner="two")
    assert [run.name for run in await two.run_due()] == ["hangs"]


async def test_an_unknown_task_is_named(database: Database, clock: TestClock) -> None:
    one = scheduler(database, clock, ScriptedTask("a"))
    await one.prepare()
    with pytest.raises(UnknownTask, match=r"'b' \(there are: a\)"):
        await one.run_now(["b"])


async def test_r69_many_workers_share_many_tasks_without_overlap(database: Database, clock: TestClock) -> None:
    """Six workers, twelve tasks, many rounds: no task is ever in two hands, and every round is worked off."""
    hands: Counter[str] = Counter()

    class Watched(ScriptedTask):
        async def run(self, context: Any) -> TaskResult:
            hands[self.name] += 1
            assert hands[self.name] == 1, f"{self.name} is in two hands"
            for _ in range(3):
                await asyncio.sleep(0)
            hands[self.name] -= 1
            return TaskResult(1)

    names = [f"task-{number}" for number in range(12)]
    workers = [scheduler(database, clock, *map(Watched, names), owner=f"worker-{number}") for number in range(6)]
    await workers[0].prepare()
    done: Counter[str] = Counter()
    for _ in range(4):
        for ended in await asyncio.gather(*(worker.run_due() for worker in workers)):
            assert {run.outcome for run in ended} <= {"ok"}
            done.update(run.name for run in ended)
        clock.tick(seconds=11)
    assert done == dict.fromkeys(names, 4)
