"""SQLite's group commit: atomic units, shared commits, and nothing acknowledged that is not durable."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.core.errors import StorageError, StorageUnavailable
from sdk.service import failpoints
from sdk.service.database import Database
from sdk.service.database import writer as writer_module
from sdk.service.errors import ConstraintViolated
from support import things

if TYPE_CHECKING:
    from sdk.service.database import Unit


class Gate:
    """A unit that holds the writer until the test has queued what is to share its batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def unit(self, unit: Unit) -> None:
        self.entered.set()
        assert self.open.wait(30)


async def batched(database: Database, *calls: Any) -> list[Any]:
    """Run the calls as one batch; results or exceptions."""
    gate = Gate()
    first = asyncio.create_task(database.write(gate.unit))
    await asyncio.to_thread(gate.entered.wait, 30)
    tasks = [asyncio.create_task(database.write(*call)) for call in calls]
    await asyncio.sleep(0)
    gate.open.set()
    results = await asyncio.gather(first, *tasks, return_exceptions=True)
    return list(results[1:])


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the units around each COMMIT."""
    reached: list[str] = []
    monkeypatch.setattr(failpoints, "active", True)
    monkeypatch.setattr(failpoints, "reach", reached.append)
    return reached


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held gate must not use up the batch's time."""
    monkeypatch.setattr(writer_module, "BATCH_SECONDS", 60.0)


async def test_waiting_units_share_one_commit(sqlite: Database, commits: list[str]) -> None:
    commits.clear()
    results = await batched(sqlite, *((things.add, f"n{i}") for i in range(10)))
    assert results == list(range(1, 11))
    expected = [f"{__name__}.Gate.unit", *["support.things.add"] * 10]
    assert [name.partition(" ")[2] for name in commits] == expected * 2
    assert [name.partition(" ")[0] for name in commits] == ["commit.before"] * 11 + ["commit.after"] * 11


async def test_a_batch_holds_at_most_64_units(sqlite: Database, commits: list[str]) -> None:
    commits.clear()
    await batched(sqlite, *((things.add, f"n{i}") for i in range(100)))
    runs = "".join("b" if name.startswith("commit.before") else "a" for name in commits)
    assert runs == "b" * 64 + "a" * 64 + "b" * 37 + "a" * 37


async def test_a_batch_ends_when_its_time_is_up(
    sqlite: Database, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BATCH_SECONDS", 0.0)
    commits.clear()
    await batched(sqlite, *((things.add, f"n{i}") for i in range(3)))
    assert [name.partition(" ")[0] for name in commits] == ["commit.before", "commit.after"] * 4


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcomes=st.lists(st.sampled_from(["ok", "raise", "constraint", "swallowed"]), min_size=1, max_size=20))
async def test_each_unit_is_atomic_whatever_its_neighbours_do(sqlite: Database, outcomes: list[str]) -> None:
    def constraint(unit: Unit, name: str) -> None:
        things.add(unit, name)
        things.add(unit, name)

    def swallowed(unit: Unit, name: str) -> None:
        things.add(unit, name)
        with pytest.raises(ConstraintViolated):
            things.add(unit, name)

    functions: dict[str, Any] = {
        "ok": things.add,
        "raise": things.add_then_fail,
        "constraint": constraint,
        "swallowed": swallowed,
    }
    await sqlite.write(lambda unit: unit.connection.exec_driver_sql("DELETE FROM things") and None)
    results = await batched(sqlite, *((functions[kind], f"{i}") for i, kind in enumerate(outcomes)))
    for kind, result in zip(outcomes, results, strict=True):
        wanted = {"ok": int, "raise": RuntimeError, "constraint": ConstraintViolated, "swallowed": ConstraintViolated}
        assert isinstance(result, wanted[kind])
    stored = await sqlite.read(things.names)
    assert sorted(stored) == sorted(f"{i}" for i, kind in enumerate(outcomes) if kind == "ok")


async def test_no_outcome_is_told_before_the_commit(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    """Another connection sees the rows as soon as, and not before, the caller hears of them."""
    seen: list[int] = []

    def reach(name: str) -> None:
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            seen.append(other.execute("SELECT count(*) FROM things").fetchone()[0])
        other.close()

    monkeypatch.setattr(failpoints, "active", True)
    monkeypatch.setattr(failpoints, "reach", reach)
    await sqlite.write(things.add, "a")
    assert seen == [0, 1]


async def test_when_the_whole_transaction_is_lost_each_unit_is_run_again_alone(sqlite: Database) -> None:
    runs: list[str] = []

    def careless(unit: Unit, name: str) -> int:
        runs.append(name)
        return things.add(unit, name)

    def destroyer(unit: Unit, name: str) -> None:
        """As a full disk does: SQLite rolls back by itself."""
        runs.append(name)
        unit._connection.execute("ROLLBACK")
        raise StorageError("the disk")

    results = await batched(sqlite, (careless, "a"), (destroyer, "b"), (careless, "c"))
    assert [type(each) for each in results] == [int, StorageError, int]
    assert await sqlite.read(things.names) == ["a", "c"]
    assert runs == ["a", "b", "a", "b", "c"]


async def test_a_full_database_fails_only_the_units_that_need_room(sqlite: Database) -> None:
    """SQLITE_FULL takes the transaction and with it every unit of the batch; run alone, the small ones fit."""

    def limit(unit: Unit) -> None:
        unit.connection.exec_driver_sql("PRAGMA max_page_count=60")

    def big(unit: Unit, name: str) -> int:
        return unit.insert(things.ADD, name=name, raw=b"x" * 400_000)

    await sqlite.write(limit)
    results = await batched(sqlite, (things.add, "a"), (big, "b"), (things.add, "c"), (big, "d"), (things.add, "e"))
    assert [type(each) for each in results] == [int, StorageUnavailable, int, StorageUnavailable, int]
    assert "no space is left" in str(results[1])
    assert await sqlite.read(things.names) == ["a", "c", "e"]


async def test_a_constraint_found_at_commit_fails_its_unit_alone(sqlite: Database) -> None:
    def defer(unit: Unit) -> None:
        unit.connection.exec_driver_sql(
            "CREATE TABLE late (id INTEGER PRIMARY KEY, up INTEGER REFERENCES things DEFERRABLE INITIALLY DEFERRED)"
        )

    def orphan(unit: Unit) -> None:
        unit.connection.exec_driver_sql("INSERT INTO late (up) VALUES (99)")

    await sqlite.migrate(defer)
    results = await batched(sqlite, (things.add, "a"), (orphan,), (things.add, "b"))
    assert [type(each) for each in results] == [int, ConstraintViolated, int]
    assert await sqlite.read(things.names) == ["a", "b"]


async def test_death_of_the_writer_is_told_to_everybody(sqlite: Database) -> None:
    class Fatal(BaseException):
        pass

    def die(_unit: Unit) -> None:
        raise Fatal("hardware")

    results = await batched(sqlite, (things.add, "a"), (die,), (things.add, "b"))
    assert [type(each) for each in results] == [StorageUnavailable] * 3
    assert "writer has died" in str(results[2])
    assert isinstance(sqlite.failure, Fatal)
    with pytest.raises(StorageUnavailable, match="restart the process"):
        await sqlite.write(things.add, "c")
    assert await sqlite.read(things.names) == []


async def test_death_while_units_are_run_again_alone_is_told_to_those_that_are_left(sqlite: Database) -> None:
    class Fatal(BaseException):
        pass

    def careless(unit: Unit, name: str) -> int:
        return things.add(unit, name)

    def destroyer(unit: Unit) -> None:
        unit._connection.execute("ROLLBACK")
        if alone:
            raise Fatal("hardware")
        alone.append(True)
        raise StorageError("the disk")

    alone: list[bool] = []
    async with asyncio.timeout(20):
        results = await batched(sqlite, (careless, "a"), (destroyer,), (careless, "b"))
    assert [type(each) for each in results] == [int, StorageUnavailable, StorageUnavailable]
    assert await sqlite.read(things.names) == ["a"]


async def test_what_nobody_waits_for_any_more_is_not_begun(sqlite: Database) -> None:
    gate = Gate()
    first = asyncio.create_task(sqlite.write(gate.unit))
    await asyncio.to_thread(gate.entered.wait, 30)
    given_up = asyncio.create_task(sqlite.write(things.add, "given up"))
    wanted = asyncio.create_task(sqlite.write(things.add, "wanted"))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    gate.open.set()
    await asyncio.gather(first, wanted)
    assert await sqlite.read(things.names) == ["wanted"]


async def test_close_finishes_what_waits_and_then_refuses(sqlite_url: str) -> None:
    database = await Database.open(sqlite_url)
    await database.migrate(things.create)
    gate = Gate()
    first = asyncio.create_task(database.write(gate.unit))
    await asyncio.to_thread(gate.entered.wait, 30)
    waiting = [asyncio.create_task(database.write(things.add, f"n{i}")) for i in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(database.close())
    gate.open.set()
    await asyncio.gather(first, *waiting, closing)
    for refused in (database.write, database.read):
        with pytest.raises(StorageUnavailable, match="closed"):
            await refused(things.names)
    async with await Database.open(sqlite_url) as again:
        assert len(await again.read(things.names)) == 5


async def test_callers_of_several_event_loops(sqlite: Database) -> None:
    def elsewhere(name: str) -> int:
        return asyncio.run(sqlite.write(things.add, name))

    keys = await asyncio.gather(*(asyncio.to_thread(elsewhere, f"n{i}") for i in range(8)))
    assert sorted(keys) == list(range(1, 9))


async def test_a_migration_waits_for_its_turn_and_is_alone(sqlite: Database) -> None:
    """Foreign keys are off while tables are rebuilt, and checked before COMMIT."""

    def pragma(unit: Unit) -> int:
        return int(unit.connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one())

    def orphan(unit: Unit) -> None:
        unit.insert(things.ADD_PART, thingId=99)

    gate = Gate()
    first = asyncio.create_task(sqlite.write(gate.unit))
    await asyncio.to_thread(gate.entered.wait, 30)
    tasks = [
        asyncio.create_task(each)
        for each in (sqlite.write(pragma), sqlite.migrate(pragma), sqlite.write(pragma), sqlite.migrate(orphan))
    ]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[:3] == [1, 0, 1]
    assert isinstance(results[3], StorageError)
    assert "do not exist" in str(results[3])
    assert await sqlite.write(lambda unit: unit.run_many(things.ADD_PART, [])) == 0


async def test_a_unit_that_ends_its_transaction_is_refused(sqlite: Database) -> None:
    def sly(unit: Unit) -> None:
        things.add(unit, "a")
        unit._connection.execute("COMMIT")

    with pytest.raises(StorageError, match="ended the transaction"):
        await sqlite.write(sly)
    await sqlite.write(things.add, "b")


@pytest.mark.parametrize("where", ["commit.before", "commit.after"])
async def test_a_raising_failpoint_reaches_the_caller_and_the_writer_lives(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    plan = failpoints.Failpoints("raise:1", where)
    monkeypatch.setattr(failpoints, "active", True)
    monkeypatch.setattr(failpoints, "reach", plan.reach)
    with pytest.raises(failpoints.FailpointReached):
        await sqlite.write(things.add, "a")
    await sqlite.write(things.add, "b")
    assert await sqlite.read(things.names) == (["b"] if where == "commit.before" else ["a", "b"])
