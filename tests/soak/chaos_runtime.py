"""A stack whose module, orchestrator, database and cache are killed at random, a new seed each round."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.runtime_chaos import VICTIMS, chaos

if TYPE_CHECKING:
    from collections.abc import Callable

STRIKES_A_ROUND = 40


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` on the monotonic clock; raises ``AssertionError`` with what was lost, or left over."""
    while time.monotonic() < deadline:
        seed = int.from_bytes(os.urandom(4), "little")
        with tempfile.TemporaryDirectory() as folder:
            say(asyncio.run(_round(Path(folder), seed, deadline)))


async def _round(folder: Path, seed: int, deadline: float) -> str:
    async with chaos(folder, seed) as stack:
        for _ in range(STRIKES_A_ROUND):
            if time.monotonic() >= deadline:
                break
            await stack.strike(stack.chance.choice(VICTIMS))
        status = await stack.stop()
        assert status == 0, f"the orchestrator ended with {status} (seed {seed})"
        pairs, ones = stack.check()
        stack.check_nothing_is_left()
        killed = ", ".join(f"{count} times the {victim}" for victim, count in sorted(stack.strikes.items()))
        return f"seed {seed}: killed {killed}; {pairs:,} transactions and {ones:,} statements acknowledged, none lost"
