"""Killed around every COMMIT and every write to a file: the store is a whole chain, and the rest can be added."""

from __future__ import annotations

import shutil
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import StoreContext, open_store
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.forking import forking
from support.header_rig import GENESIS, grown, raw
from support.kill_points import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.core.header import BlockHeader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POINTS = "commit|chaintracks"


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
    record = tmp_path / "points"
    shutil.copytree(template, tmp_path / "0")
    reached = []
    async with forking("support.header_runner") as runner:

        async def run(folder: Path, plan: str) -> int:
            return await runner.run(folder=str(folder), store=store.format(folder), plan=plan, pattern=POINTS)

        assert await run(tmp_path / "0", f"record:{record}") == 0
        points = recorded(record)
        assert len(points) >= 10
        for number in range(1, len(points) + 1):
            folder = tmp_path / str(number)
            shutil.copytree(template, folder)
            assert await run(folder, f"kill:{number}") == -signal.SIGKILL
            async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
                opened = open_store(store.format(folder), StoreContext("mock", database))
                chain = await HeaderChain.open("mock", opened, clock=lambda: NOW, keep=20)
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
