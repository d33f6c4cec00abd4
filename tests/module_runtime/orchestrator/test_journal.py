"""The orchestrator's records, on three databases."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest_asyncio
import sqlalchemy as sa

from sdk.core.errors import StorageError
from sdk.module_runtime.orchestrator import happenings, journal
from sdk.module_runtime.orchestrator.happenings import Happening
from sdk.module_runtime.orchestrator.journal import Journal
from sdk.module_runtime.storage import tables
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.databases import DIALECTS, empty_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture(params=DIALECTS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    with empty_database(request.param, tmp_path) as (url, schema):
        async with await Database.open(url, schema=schema) as opened:
            await upgrade(opened, [MIGRATIONS])
            yield opened


async def rows(database: Database, table: sa.Table) -> list[dict[str, Any]]:
    def read(unit: Any) -> list[dict[str, Any]]:
        found = unit.connection.execute(sa.select(table).order_by(*table.primary_key.columns))
        return [dict(row) for row in found.mappings()]

    return await database.write(read)


def happened(kind: str, **detail: Any) -> Happening:
    return Happening(kind, "one", detail)


async def test_what_happens_is_written_down_and_the_state_follows(database: Database) -> None:
    now = [START]
    record = Journal(database, lambda: now[0])
    endpoint = {"path": "/ü", "methods": ["GET", "PUT"], "auth": None}
    for each in (
        happened(happenings.STATE, state="starting", restarts=0),
        happened(happenings.STARTED, instance="a", pid=7),
        happened(happenings.PORTS, ports=[21_000, 21_001]),
        happened(happenings.READY, instance="a"),
        happened(happenings.ANNOUNCED, listen="127.0.0.1:1", endpoints=[endpoint, endpoint]),
        happened(happenings.ANNOUNCED, listen="127.0.0.1:2", endpoints=[endpoint]),
        happened(happenings.STATE, state="ready", restarts=1),
        happened(happenings.PORTS, ports=[21_001]),
        happened(happenings.ENDED, instance="a", status=-9),
        happened(happenings.REFUSED, channel="unix", reason="no hello in time"),
    ):
        record.take(each)
        now[0] += timedelta(seconds=1)
    await record.flush()
    (state,) = await rows(database, tables.runtime_modules)
    assert (state["state"], state["restarts"], state["changed_at"]) == ("ready", 1, START + timedelta(seconds=6))
    (instance,) = await rows(database, tables.runtime_instances)
    assert (instance["pid"], instance["status"]) == (7, -9)
    assert instance["ended_at"] - instance["ready_at"] == timedelta(seconds=5)
    assert [each["port"] for each in await rows(database, tables.runtime_ports)] == [21_001]
    (announced,) = await rows(database, tables.runtime_endpoints)
    assert (announced["path"], announced["methods"], announced["listen"]) == ("/ü", "GET PUT", "127.0.0.1:2")
    newest = await record.events("one", limit=3)
    assert [each.kind for each in newest] == ["channel_refused", "instance_ended", "ports_leased"]
    assert json.loads(newest[0].detail) == {"channel": "unix", "reason": "no hello in time"}
    older = await record.events(below=newest[-1].id)
    assert len(older) == 7
    assert await record.events("two") == []


async def test_a_new_orchestrator_puts_right_what_the_last_one_left(database: Database) -> None:
    record = Journal(database, lambda: START)
    record.take(happened(happenings.STATE, state="ready", restarts=0))
    record.take(happened(happenings.STARTED, instance="a", pid=7))
    record.take(happened(happenings.PORTS, ports=[21_000]))
    await record.flush()
    await Journal(database, lambda: START).reconcile()
    (instance,) = await rows(database, tables.runtime_instances)
    assert (instance["ended_at"], instance["status"]) == (START, None)
    assert [each["state"] for each in await rows(database, tables.runtime_modules)] == ["stopped"]
    assert await rows(database, tables.runtime_ports) == []


async def test_old_records_are_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_TRIM_EVERY", 2)
    now = [START]
    record = Journal(database, lambda: now[0])
    record.take(happened(happenings.STARTED, instance="old", pid=1))
    record.take(happened(happenings.ENDED, instance="old", status=0))
    await record.flush()
    now[0] += journal.KEPT_FOR + timedelta(seconds=1)
    record.take(happened(happenings.STARTED, instance="new", pid=1))
    record.take(happened(happenings.READY, instance="new"))
    await record.flush()
    assert [each["id"] for each in await rows(database, tables.runtime_instances)] == ["new"]
    assert len(await record.events()) == 2


class Sick(Database):
    """A database that cannot be reached ``times`` times. Such a fault is awkward to cause at a chosen moment."""

    def __init__(self, inner: Database, times: int) -> None:
        self._inner, self.times = inner, times

    async def write(self, *arguments: Any, **named: Any) -> Any:
        if self.times:
            self.times -= 1
            raise StorageError("nobody answers")
        return await self._inner.write(*arguments, **named)

    async def read(self, *arguments: Any, **named: Any) -> Any:
        return await self._inner.read(*arguments, **named)


async def test_what_could_not_be_written_is_written_later_in_order_and_within_bounds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_RETRY_AFTER", 0.01)
    monkeypatch.setattr(journal, "MOST_WAITING", 5)
    sick = Sick(database, 3)
    record = Journal(sick, lambda: START)
    for number in range(8):
        record.take(happened("note", number=number))
    assert record.dropped == 3
    writing = asyncio.create_task(record.run())
    try:
        async with asyncio.timeout(20):
            while len(await record.events()) < 5:  # noqa: ASYNC110 - a table has no event
                await asyncio.sleep(0.01)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert sick.times == 0
    assert [json.loads(each.detail)["number"] for each in await record.events()] == [7, 6, 5, 4, 3]
