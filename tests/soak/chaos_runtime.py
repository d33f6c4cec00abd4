"""A stack whose modules, orchestrator, database and cache are killed at random, each round with new servers."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from support.runtime_chaos import SERVERS, VICTIMS, chaos

if TYPE_CHECKING:
    from collections.abc import Callable

STRIKES_A_ROUND = 40


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` on the monotonic clock; raises ``AssertionError`` with what was lost, or left over."""
    servers = cycle(SERVERS)
    while time.monotonic() < deadline:
        seed = int.from_bytes(os.urandom(4), "little")
        with tempfile.TemporaryDirectory() as folder:
            say(asyncio.run(_round(Path(folder), seed, deadline, *next(servers))))


async def _round(folder: Path, seed: int, deadline: float, database: str, cache: str) -> str:
    async with chaos(folder, seed, database, cache) as stack:
        for _ in range(STRIKES_A_ROUND):
            if time.monotonic() >= deadline:
                break
            await stack.strike(stack.chance.choice(VICTIMS))
        status = await stack.stop()
        assert status == 0, f"the orchestrator ended with {status} (seed {seed})"
        found = await stack.check()
        stack.check_nothing_is_left()
        killed = ", ".join(f"{count} times the {victim}" for victim, count in sorted(stack.strikes.items()))
        return (
            f"seed {seed}, {database} and {cache}: killed {killed}; {found['transactions']:,} transactions and "
            f"{found['statements']:,} statements acknowledged, none lost; of the commits whose end was unknown "
            f"{found['whole']} were whole and {found['absent']} absent"
        )
