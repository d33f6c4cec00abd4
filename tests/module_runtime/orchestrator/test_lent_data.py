"""A module's database and cache, lent by the orchestrator of a real stack, through crashes of the module."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from sdk.module_runtime.orchestrator import runtime
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.stack import read_stack
from support.running_stack import PATIENCE

if TYPE_CHECKING:
    from sdk.module_runtime.orchestrator.happenings import Happening

PROGRAM = Path(__file__).parent / "programs" / "notes_module.py"
STACK = """
[gateway]
[modules.notes]
kind = "module"
command = {command}
restart = {{ first_delay = 0.01 }}
[modules.notes.databases.main]
db_type = "sqlite"
database = "notes.db"
[modules.notes.caches.hits]
cache_type = "InMemory"
"""

pytestmark = pytest.mark.timeout(120)


async def test_no_acknowledged_write_is_lost_and_no_transaction_half_done_when_a_module_dies(tmp_path: Path) -> None:
    command = json.dumps([sys.executable, str(PROGRAM)])
    (tmp_path / "stack.toml").write_text(STACK.format(command=command))
    stop, changed = asyncio.Event(), asyncio.Event()
    ready: list[Any] = []

    def take(happening: Happening) -> None:
        if happening.kind == "state" and happening.detail["state"] == State.READY.value:
            ready.append(happening)
        changed.set()

    async def until_ready(times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(ready) < times:
                changed.clear()
                await changed.wait()

    async with runtime.running(read_stack(tmp_path / "stack.toml"), stop, on_happening=take) as running:
        task = asyncio.create_task(running.orchestrator.run(stop))
        try:
            await until_ready(1)
            async with ClientSession(running.orchestrator.board.api) as client:
                for round_ in range(1, 3):
                    async with client.post("/notes", data=f"note {round_}") as answer:
                        assert answer.status == 201
                    async with client.post("/hits") as answer:
                        assert await answer.json() == round_
                    async with client.post("/die") as answer:
                        assert answer.status == 502
                    await until_ready(round_ + 1)
                async with client.get("/notes") as answer:
                    assert await answer.json() == ["note 1", "note 2"]
                async with client.post("/beyond") as answer:
                    assert answer.status == 403
                    assert "no database of that name" in await answer.text()
        finally:
            stop.set()
            await task
    database = sqlite3.connect(tmp_path / "notes.db")
    assert database.execute("SELECT text FROM notes").fetchall() == [("note 1",), ("note 2",)]
    database.close()
