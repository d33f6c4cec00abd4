"""A module loads what it uses: twenty of them start on one machine."""

from __future__ import annotations

import sys
from pathlib import Path

from aiohttp import ClientSession

from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.running_stack import running

LEAN = Path(__file__).parent / "lean_module.py"
HEAVY = {"alembic", "cryptography", "jwt", "redis", "aiomcache", "sqlalchemy", "keyring"}
"""Databases, tokens, caches and key stores, of which this module has none."""
OTHER_SIDE = ("sdk.module_runtime.orchestrator", "sdk.module_runtime.commands", "sdk.module_runtime.data")


async def test_a_module_loads_no_more_than_it_uses() -> None:
    board = Switchboard()
    module = {"kind": "module", "command": [sys.executable, str(LEAN)]}
    async with running({"lean": module}, board, gateway={}) as seen:
        await seen.until("lean", State.READY)
        async with ClientSession(board.api) as client, client.get("/loaded") as answer:
            loaded = set(await answer.json())
    assert "sdk.module_runtime.module.program" in loaded
    assert loaded & HEAVY == set()
    assert [name for name in loaded if name.startswith(OTHER_SIDE)] == []
