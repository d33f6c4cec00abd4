"""Killed before and after every COMMIT: the store is always a whole chain, and the rest can be added to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.header_rig import GENESIS, grown, raw

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.core.header import BlockHeader

SCRIPT = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from sdk.chaintracks.chain import HeaderChain
from sdk.service.database import Database

async def main(folder):
    async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
        chain = await HeaderChain.open("mock", database, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), keep=20)
        for path in sorted(folder.glob("*.batch")):
            await chain.extend(path.read_bytes())

asyncio.run(main(Path(sys.argv[1])))
"""


def batches() -> list[list[BlockHeader]]:
    """Growth, a branch that loses, one that wins, and growth so far that the first headers leave memory."""
    trunk = grown([GENESIS], 10)
    loser = grown(trunk[:8], 2, salt="loser")
    winner = grown(trunk[:6], 7, salt="winner")
    return [trunk[1:], loser[8:], winner[6:], grown(winner, 530, salt="far")[13:]]


def run(folder: Path, plan: str) -> int:
    environment = {**os.environ, "SDK_FAILPOINTS": plan, "SDK_FAILPOINTS_FILTER": "commit"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], env=environment, timeout=120, check=False)
    return done.returncode


async def test_killed_around_any_commit_the_store_holds_a_whole_chain(tmp_path: Path) -> None:
    parts = batches()
    whole = [GENESIS, *parts[0][:5], *parts[2], *parts[3]]
    states = [raw([GENESIS]), raw([GENESIS, *parts[0]]), raw([GENESIS, *parts[0][:5], *parts[2]]), raw(whole)]
    template = tmp_path / "template"
    template.mkdir()
    for number, part in enumerate(parts):
        (template / f"{number}.batch").write_bytes(raw(part))
    async with await Database.open(f"sqlite:///{template}/h.sqlite") as database:
        await upgrade(database, [MIGRATIONS])
    recorded = tmp_path / "points"
    shutil.copytree(template, tmp_path / "0")
    assert run(tmp_path / "0", f"record:{recorded}") == 0
    points = recorded.read_text().splitlines()
    assert len(points) >= 10  # genesis, four batches, one trim: before and after each
    seen = set()
    for number in range(1, len(points) + 1):
        folder = tmp_path / str(number)
        shutil.copytree(template, folder)
        assert run(folder, f"kill:{number}") == -signal.SIGKILL
        async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
            chain = await HeaderChain.open("mock", database, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), keep=20)
            held = await chain.headers(0, 1000)
            assert held in states
            seen.add(held)
            assert chain.tip.work == 2 * len(held) // 80
            for part in parts[(0, 1, 3, 4)[states.index(held)] :]:
                await chain.extend(raw(part))
            assert await chain.headers(0, 1000) == raw(whole)
    assert seen == set(states)
