"""Killed around every COMMIT and every write to a file: the store is a whole chain, and the rest can be added."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import StoreContext, open_store
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
from sdk.chaintracks.store.opening import StoreContext, open_store
from sdk.service.database import Database

async def main(folder):
    async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
        store = open_store(sys.argv[2], StoreContext("mock", database))
        clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)
        chain = await HeaderChain.open("mock", store, clock=clock, keep=20)
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


def deep_batches() -> list[list[BlockHeader]]:
    """Growth that is buried at once, a branch that starts among what is buried, and growth after it."""
    trunk = grown([GENESIS], 150)
    winner = grown(trunk[:100], 60, salt="winner")
    return [trunk[1:], winner[100:], grown(winner, 2)[160:]]


def run(folder: Path, plan: str, store: str) -> int:
    environment = {**os.environ, "SDK_FAILPOINTS": plan, "SDK_FAILPOINTS_FILTER": "commit|chaintracks"}
    command = [sys.executable, "-c", SCRIPT, str(folder), store.format(folder)]
    return subprocess.run(command, env=environment, timeout=120, check=False).returncode


@pytest.mark.parametrize(
    ("store", "parts", "forks"),
    [("sql", batches(), (1, 0, 6, 13)), ("files:{}/headers", deep_batches(), (1, 100, 160))],
    ids=["sql", "files"],
)
async def test_killed_at_any_point_the_store_holds_a_whole_chain_and_all_that_was_acknowledged(
    tmp_path: Path, store: str, parts: list[list[BlockHeader]], forks: tuple[int, ...]
) -> None:
    """``forks`` are the heights at which the batches begin to replace what is there; 0 for one that changes nothing."""
    states, following = [raw([GENESIS])], [0]
    for number, (part, fork) in enumerate(zip(parts, forks, strict=True), 1):
        if fork:
            following.append(number)
            states.append(states[-1][: fork * 80] + raw(part))
    template = tmp_path / "template"
    template.mkdir()
    for number, part in enumerate(parts):
        (template / f"{number}.batch").write_bytes(raw(part))
    async with await Database.open(f"sqlite:///{template}/h.sqlite") as database:
        await upgrade(database, [MIGRATIONS])
    recorded = tmp_path / "points"
    shutil.copytree(template, tmp_path / "0")
    assert run(tmp_path / "0", f"record:{recorded}", store) == 0
    points = recorded.read_text().splitlines()
    assert len(points) >= 10
    reached = []
    for number in range(1, len(points) + 1):
        folder = tmp_path / str(number)
        shutil.copytree(template, folder)
        assert run(folder, f"kill:{number}", store) == -signal.SIGKILL
        async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
            opened = open_store(store.format(folder), StoreContext("mock", database))
            clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731
            chain = await HeaderChain.open("mock", opened, clock=clock, keep=20)
            held = await chain.headers(0, 1000)
            assert held in states
            reached.append(states.index(held))
            assert chain.tip.work == 2 * len(held) // 80
            assert await chain.store.last_event() == len(await chain.store.events_after(0)) == reached[-1]
            for part in parts[following[reached[-1]] :]:
                await chain.extend(raw(part))
            assert await chain.headers(0, 1000) == states[-1]
            await opened.close()
    assert reached == sorted(reached)  # what was there is never lost
    assert set(reached) == set(range(len(states)))
