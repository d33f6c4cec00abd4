"""``kill -9`` at every fail point of sending, proving and following a reorganisation (R19, R21).

The list of points is recorded, not written down: each run without a kill names them. At each a real process dies;
workers that start afterwards bring rows and chain into agreement by themselves.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import uuid
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from sdk.devnet.devnet import Devnet
from sdk.devnet.journal import Journal
from sdk.devnet.server import DevnetServer
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from sdk.wallet.services.composition import build_services
from sdk.wallet.settings import WalletSettings
from sdk.wallet.storage.migrations import MIGRATIONS
from support.databases import master_database
from support.forking import forking
from support.kill_points import recorded, sample
from support.wallet_rows import OPEN, TestClock, WalletRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from sdk.core.merkle_path import MerklePath
    from sdk.core.transaction import Transaction
    from sdk.wallet.services.services import Services
    from support.databases import Master
    from support.forking import Forking
    from support.wallet_rows import Coin

RESTARTS = 2
KINDS = {"commit.before", "commit.after", "http.before", "http.after"}
NO_QUESTIONS = r"^(?!http\.\w+ \w+ GET)"
"""They change nothing: who dies at one leaves what the last commit or post left."""
EVERY = {"sqlite": 3, "postgresql": 9}
"""Each n-th point is tried, odd since before and after take turns; under ``SDK_CRASH_ALL=1`` all of them everywhere."""


class DevnetRows(WalletRows):
    """Rows beside the devnet; their coins are the faucet's."""

    def __init__(self, database: Database, services: Services, devnet: Devnet) -> None:
        super().__init__(database, services, TestClock())
        self._devnet = devnet

    def mint(self, satoshis: int) -> tuple[Transaction, MerklePath]:
        funding = self._devnet.fund(OPEN, satoshis, mine=True)
        path = self._devnet.merkle_path(funding.txid)
        assert path is not None
        return funding.transaction, path


@dataclass(frozen=True)
class World:
    """A database, and the chain it lives beside: the journal of a devnet, in ``folder``."""

    master: Master
    url: str
    folder: Path
    transactions: dict[str, Transaction] = field(default_factory=dict)
    coins: dict[str, Coin] = field(default_factory=dict)

    @contextmanager
    def copy(self) -> Iterator[World]:
        folder = self.folder.with_name(uuid.uuid4().hex)
        shutil.copytree(self.folder, folder)
        with self.master.copy() as url:
            yield replace(self, url=url, folder=folder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        with closing(Devnet(journal=Journal(self.folder))) as devnet:
            async with DevnetServer(devnet) as server:
                yield Running(self, server)


@dataclass(frozen=True)
class Running:
    """A world whose devnet serves."""

    world: World
    server: DevnetServer

    @property
    def environ(self) -> dict[str, str]:
        return {**self.server.urls.wallet_settings(), "SDK_WALLET_DATABASE": self.world.url}

    async def work(self, runner: Forking, minutes: float, plan: str | None = None) -> int:
        """What a monitor does, once, so many minutes from now; the exit status."""
        given = {"environ": self.environ, "devnet": self.server.urls.base, "minutes": minutes}
        return await runner.run(job="recover", plan=plan, pattern=NO_QUESTIONS, **given)

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[DevnetRows]:
        services = build_services(WalletSettings.load(environ=self.environ))
        assert services is not None
        async with AsyncExitStack() as stack:
            stack.push_async_callback(services.close)
            database = await stack.enter_async_context(await Database.open(self.world.url))
            yield DevnetRows(database, services, self.server.devnet)

    async def state(self) -> dict[str, Any]:
        """Everything that must come out the same, however often it was interrupted."""
        devnet = self.server.devnet
        async with self.rows() as rows:
            assert await rows.broken_invariants() == []
            found: dict[str, Any] = {
                name: await rows.statuses(transaction.txid()) for name, transaction in self.world.transactions.items()
            }
            for name, coin in self.world.coins.items():
                spendable, spender = await rows.coin_state(coin)
                found[f"coin {name}"] = (spendable, spender is not None)
        for name, transaction in self.world.transactions.items():
            found[f"{name} is mined"] = devnet.merkle_path(transaction.txid()) is not None
        return found


async def payments(world: World, runner: Forking) -> None:
    """A payment and its child, a double spend of one of two coins, something held, something never signed."""
    async with world.running() as running, running.rows() as rows:
        alice, bob = await rows.user("alice"), await rows.user("bob")
        for name in ("paid", "lost", "safe", "held", "left"):
            world.coins[name] = await rows.coin(alice)
        world.transactions["parent"], change = await rows.sign(alice, [world.coins["paid"]])
        await rows.receive(bob, world.transactions["parent"])
        world.transactions["child"], _ = await rows.sign(alice, change, amounts=[800])
        running.server.devnet.submit(rows.build([world.coins["lost"]]))
        world.transactions["double"], _ = await rows.sign(alice, [world.coins["lost"], world.coins["safe"]])
        world.transactions["held"], _ = await rows.sign(alice, [world.coins["held"]], no_send=True)
        await rows.begin(alice, [world.coins["left"]])


async def reorganised(world: World, runner: Forking) -> None:
    """A payment and its child, proven in a block that has left the chain since; the new chain holds them again."""
    async with world.running() as running:
        async with running.rows() as rows:
            alice = await rows.user("alice")
            world.coins["paid"] = await rows.coin(alice)
            world.transactions["parent"], change = await rows.sign(alice, [world.coins["paid"]])
            world.transactions["child"], _ = await rows.sign(alice, change, amounts=[800])
        assert await running.work(runner, 0) == 0
        assert (await running.state())["child"] == ("completed", ["completed"])
        running.server.devnet.reorg(remine=True)


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
@pytest.mark.parametrize(("prepare", "expected"), [(payments, PAID), (reorganised, PROVEN_AGAIN)])
async def test_r21_killed_anywhere_it_comes_to_the_same_end(
    prepare: Callable[[World, Forking], Awaitable[None]], expected: dict[str, Any], dialect: str, tmp_path: Path
) -> None:
    with master_database(dialect, tmp_path) as master:
        first = World(master, master.url, tmp_path / "chain")
        async with await Database.open(master.url) as database:
            await upgrade(database, [MIGRATIONS])
        async with forking("support.payment_runner") as runner:
            await prepare(first, runner)
            with first.copy() as world:
                await _record(world, expected, runner, tmp_path / "points")
            points = recorded(tmp_path / "points")
            assert {point.split()[0] for point in points} == KINDS
            tries = sample(points, EVERY[dialect])
            waiting, killed = list(tries), []

            async def work() -> None:
                while waiting:
                    number, point = waiting.pop()
                    with first.copy() as world:
                        if await _kill_and_restart(world, expected, runner, number, point):
                            killed.append(point)

            await asyncio.gather(*(work() for _ in range(3)))
        assert len(killed) >= 0.7 * len(tries)  # of 34 points eight are of commits that may come together


async def _kill_and_restart(world: World, expected: dict[str, Any], runner: Forking, number: int, point: str) -> bool:
    """Whether there was something to kill: units that SQLite commits together pass fewer points."""
    async with world.running() as running:
        status = await running.work(runner, 2, f"kill:{number}")
        assert status in (-signal.SIGKILL, 0), point
        for restart in range(RESTARTS):
            assert await running.work(runner, 20 * (restart + 1)) == 0, point
        assert await running.state() == expected, f"killed at {number}, {point}"
    return status != 0


async def _record(world: World, expected: dict[str, Any], runner: Forking, record: Path) -> None:
    """The fail points of a run that nothing happens to."""
    async with world.running() as running:
        assert await running.work(runner, 2, f"record:{record}") == 0
        assert await running.state() == expected
        assert await running.work(runner, 40) == 0
        assert await running.state() == expected
