"""``kill -9`` at every fail point of sending, proving and following a reorganisation (R19, R21).

The list of points is recorded, not written down: each run without a kill names them. At each a real process dies;
workers that start afterwards bring rows and chain into agreement by themselves.
"""

from __future__ import annotations

import asyncio
import copy
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from sdk.service.database import Database
from support.databases import master_database
from support.fake_network import FakeNetwork
from support.forking import forking
from support.http_network import network_app
from support.kill_points import recorded, sample
from support.wallet_rows import Rows, TestClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from sdk.core.transaction import Transaction
    from support.databases import Master
    from support.forking import Forking
    from support.wallet_rows import Coin

RESTARTS = 2
EVERY = {"sqlite": 3, "postgresql": 9}
"""Each n-th point is tried, odd since before and after take turns; under ``SDK_CRASH_ALL=1`` all of them everywhere."""


@dataclass
class World:
    """A database, and the network it lives beside."""

    master: Master
    url: str
    network: FakeNetwork
    transactions: dict[str, Transaction]
    coins: dict[str, Coin]

    @classmethod
    def empty(cls, master: Master) -> World:
        return cls(master, master.url, FakeNetwork(), {}, {})

    @contextmanager
    def copy(self) -> Iterator[World]:
        with self.master.copy() as url:
            yield World(self.master, url, copy.deepcopy(self.network), self.transactions, self.coins)

    async def open(self) -> Rows:
        return await Rows.open(self.url, self.network, TestClock())

    async def state(self) -> dict[str, Any]:
        """Everything that must come out the same, however often it was interrupted."""
        async with await Database.open(self.url) as database:
            rows = Rows(database, self.network, TestClock())
            assert await rows.broken_invariants() == []
            found: dict[str, Any] = {
                name: await rows.statuses(transaction.txid()) for name, transaction in self.transactions.items()
            }
            for name, coin in self.coins.items():
                spendable, spender = await rows.coin_state(coin)
                found[f"coin {name}"] = (spendable, spender is not None)
        for name, transaction in self.transactions.items():
            found[f"{name} is mined"] = self.network.block_of(transaction.txid()) is not None
        return found


async def payments(master: Master) -> World:
    """A payment and its child, a double spend of one of two coins, something held, something never signed."""
    world = World.empty(master)
    rows = await world.open()
    alice, bob = await rows.user("alice"), await rows.user("bob")
    for name in ("paid", "lost", "safe", "held", "left"):
        world.coins[name] = await rows.coin(alice)
    world.transactions["parent"], change = await rows.sign(alice, [world.coins["paid"]])
    await rows.receive(bob, world.transactions["parent"])
    world.transactions["child"], _ = await rows.sign(alice, change)
    world.network.accept(rows.build([world.coins["lost"]]))
    world.transactions["double"], _ = await rows.sign(alice, [world.coins["lost"], world.coins["safe"]])
    world.transactions["held"], _ = await rows.sign(alice, [world.coins["held"]], no_send=True)
    await rows.begin(alice, [world.coins["left"]])
    await rows.database.close()
    return world


async def reorganised(master: Master) -> World:
    """A payment and its child, proven in a block that has left the chain since; the new chain holds them again."""
    from sdk.wallet.broadcasting.broadcaster import Broadcaster
    from sdk.wallet.broadcasting.prover import Prover

    world = World.empty(master)
    rows = await world.open()
    alice = await rows.user("alice")
    world.coins["paid"] = await rows.coin(alice)
    world.transactions["parent"], change = await rows.sign(alice, [world.coins["paid"]])
    world.transactions["child"], _ = await rows.sign(alice, change)
    broadcaster = Broadcaster(rows.database, world.network, clock=rows.clock, owner="before")
    await broadcaster.send([each.txid() for each in world.transactions.values()])
    world.network.mine()
    await Prover(rows.database, world.network, clock=rows.clock).check(up_to_height=world.network.height, limit=10)
    await rows.database.close()
    world.network.reorg(1)
    world.network.mine([])
    world.network.mine()
    return world


PAID = {
    "parent": ("completed", ["completed", "completed"]),
    "child": ("completed", ["completed"]),
    "double": ("doubleSpend", ["failed"]),
    "held": ("nosend", ["nosend"]),
    "coin paid": (False, True),
    "coin lost": (False, False),
    "coin safe": (True, False),
    "coin held": (False, True),
    "coin left": (True, False),
    "parent is mined": True,
    "child is mined": True,
    "double is mined": False,
    "held is mined": False,
}
PROVEN_AGAIN = {
    "parent": ("completed", ["completed"]),
    "child": ("completed", ["completed"]),
    "coin paid": (False, True),
    "parent is mined": True,
    "child is mined": True,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize(("make", "expected"), [(payments, PAID), (reorganised, PROVEN_AGAIN)])
async def test_r21_killed_anywhere_it_comes_to_the_same_end(
    make: Callable[[Master], Awaitable[World]], expected: dict[str, Any], dialect: str, tmp_path: Path
) -> None:
    with master_database(dialect, tmp_path) as master:
        first = await make(master)
        async with forking("support.crash_runner") as runner:
            with first.copy() as world:
                await _record(world, expected, runner, tmp_path / "points")
        points = recorded(tmp_path / "points")
        assert {point.split()[0] for point in points} == {"commit.before", "commit.after", "http.before", "http.after"}
        waiting = sample(points, EVERY[dialect])

        async def work() -> None:
            async with forking("support.crash_runner") as runner:
                while waiting:
                    number, point = waiting.pop()
                    with first.copy() as world:
                        await _kill_and_restart(world, expected, runner, number, point)

        await asyncio.gather(*(work() for _ in range(3)))


async def run(runner: Forking, world: World, url: str, minutes: float, plan: str | None = None) -> int:
    return await runner.run(database=world.url, url=url, seconds=minutes * 60, plan=plan)


async def _kill_and_restart(world: World, expected: dict[str, Any], runner: Forking, number: int, point: str) -> None:
    async with TestServer(network_app(world.network)) as server:
        url = str(server.make_url("/"))
        assert await run(runner, world, url, 2, f"kill:{number}") == -signal.SIGKILL, point
        for restart in range(RESTARTS):
            assert await run(runner, world, url, 20 * (restart + 1)) == 0, point
        assert await world.state() == expected, f"killed at {number}, {point}"


async def _record(world: World, expected: dict[str, Any], runner: Forking, record: Path) -> None:
    """The fail points of a run that nothing happens to."""
    async with TestServer(network_app(world.network)) as server:
        url = str(server.make_url("/"))
        assert await run(runner, world, url, 2, f"record:{record}") == 0
        assert await world.state() == expected
        assert await run(runner, world, url, 40) == 0
        assert await world.state() == expected
