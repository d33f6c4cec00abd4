"""Everything that can die dies, in an order that differs each time; long: ``./scripts/soak chaos_runtime``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.runtime_chaos import SERVERS, chaos

if TYPE_CHECKING:
    from pathlib import Path


VICTIMS = (("module", "orchestrator", "database", "cache"), ("independent", "database", "cache"))
"""Of each pair of servers. The long run strikes whomever it likes."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("servers", "victims"), list(zip(SERVERS, VICTIMS, strict=True)))
async def test_whatever_is_killed_nothing_acknowledged_is_lost_and_the_rest_serves_on(
    tmp_path: Path, servers: tuple[str, str], victims: tuple[str, ...]
) -> None:
    """It starts a database server and kills it, which takes its seconds."""
    seed = int(os.environ.get("SDK_CHAOS_SEED") or int.from_bytes(os.urandom(4), "little"))
    print(f"SDK_CHAOS_SEED={seed}")
    async with chaos(tmp_path, seed, *servers) as run:
        order = list(victims)
        run.chance.shuffle(order)
        for victim in order:
            await run.strike(victim)
        assert await run.stop() == 0
        found = await run.check()
        assert found["transactions"] >= 2 * len(order)
        assert found["statements"] >= found["transactions"] - 2 * len(order)
        run.check_nothing_is_left()
