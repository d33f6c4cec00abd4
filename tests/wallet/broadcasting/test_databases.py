"""The same life on every database, and several workers on one (R25, R69)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sdk.service.database import Database
from sdk.wallet.broadcasting.broadcaster import Broadcaster
from sdk.wallet.broadcasting.prover import Prover
from sdk.wallet.broadcasting.reorgs import ReorgFollower
from sdk.wallet.services.ports import Classification
from support.databases import DIALECTS, empty_database
from support.fake_network import FakeNetwork, answer
from support.wallet_rows import Rows, TestClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(frozen=True)
class Tip:
    height: int
    hash: str


@dataclass(frozen=True)
class Shared:
    rows: Rows
    url: str
    schema: str | None


@pytest.fixture(params=DIALECTS)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared]:
    with empty_database(request.param, tmp_path) as (url, schema):
        rows = await Rows.open(url, FakeNetwork(), TestClock(), schema=schema)
        yield Shared(rows, url, schema)
        await rows.database.close()


async def test_a_payment_is_sent_proven_demoted_and_proven_again(shared: Shared) -> None:
    rows, network, clock = shared.rows, shared.rows.network, shared.rows.clock
    broadcaster = Broadcaster(rows.database, network, clock=clock, owner="one")
    prover = Prover(rows.database, network, clock=clock)
    follower = ReorgFollower(rows.database, network, prover, clock=clock)
    alice, bob = await rows.user("alice"), await rows.user("bob")
    first, change = await rows.sign(alice, [await rows.coin(alice)])
    await rows.receive(bob, first)
    second, _ = await rows.sign(alice, change)
    clock.tick(seconds=10)
    assert dict((await broadcaster.send_waiting(min_age=timedelta(seconds=7), limit=10)).detail) == {"success": 2}
    network.mine()
    assert (await prover.check(up_to_height=network.height, limit=10)).detail == {"proven": 2}
    assert await rows.statuses(first.txid()) == ("completed", ["completed", "completed"])
    network.reorg(1)
    network.mine([])
    network.mine([])
    tip = Tip(network.height, network.chain[-1][0].hash())
    assert (await follower.follow(tip)).detail["demoted"] == 2
    assert await rows.statuses(first.txid()) == ("unmined", ["unproven", "unproven"])
    assert await rows.broken_invariants() == []
    network.mine()
    assert (await prover.check(up_to_height=network.height, limit=10)).detail == {"proven": 2}
    assert await rows.statuses(second.txid()) == ("completed", ["completed"])
    assert await rows.broken_invariants() == []


async def test_a_failure_frees_and_evicts_by_evidence(shared: Shared) -> None:
    rows, network = shared.rows, shared.rows.network
    broadcaster = Broadcaster(rows.database, network, clock=rows.clock, owner="one")
    alice = await rows.user()
    lost, safe = await rows.coin(alice), await rows.coin(alice)
    network.accept(rows.build([lost]))
    double, change = await rows.sign(alice, [lost, safe])
    child, _ = await rows.sign(alice, change)
    (outcome,) = await broadcaster.send([double.txid()])
    assert outcome.failed == (double.txid(), child.txid())
    assert await rows.coin_state(lost) == (False, None)
    assert await rows.coin_state(safe) == (True, None)
    coin = await rows.coin(alice)
    invalid, _ = await rows.sign(alice, [coin])
    network.scripted.append(lambda _beef, txids: [answer(txids[0], Classification.INVALID)])
    network.down.add("utxos")
    await broadcaster.send([invalid.txid()])
    assert (await rows.coin_state(coin))[0] is False
    network.down.clear()
    assert (await broadcaster.review_failed(limit=10)).detail == {"freed": 1}
    assert await rows.coin_state(coin) == (True, None)
    assert await rows.broken_invariants() == []


async def test_abandoned_actions_give_their_coins_back(shared: Shared) -> None:
    from sdk.wallet.monitoring import WalletBackend

    rows = shared.rows
    backend = WalletBackend(rows.database, rows.network, clock=rows.clock)
    alice = await rows.user()
    left, kept = await rows.coin(alice), await rows.coin(alice)
    await rows.begin(alice, [left])
    await rows.sign(alice, [kept], delayed=False)  # signed: never given up for its age (wallet-stack 7.1 #7)
    assert (await backend.fail_abandoned(older_than=timedelta(minutes=5), limit=10)).processed == 0
    rows.clock.tick(minutes=6)
    report = await backend.fail_abandoned(older_than=timedelta(minutes=5), limit=10)
    assert (report.processed, dict(report.detail)) == (1, {"abandoned": 1, "released": 1})
    assert await rows.coin_state(left) == (True, None)
    assert (await rows.coin_state(kept))[0] is False
    assert (await backend.fail_abandoned(older_than=timedelta(minutes=5), limit=10)).processed == 0


async def test_workers_on_connections_of_their_own_never_post_the_same(shared: Shared) -> None:
    rows = shared.rows
    alice = await rows.user()
    change = [await rows.coin(alice) for _ in range(10)]
    for coin in change:
        _, made = await rows.sign(alice, [coin])
        await rows.sign(alice, made)
    rows.clock.tick(seconds=10)
    databases = [await Database.open(shared.url, schema=shared.schema) for _ in range(2)]
    try:
        workers = [
            Broadcaster(database, rows.network, clock=rows.clock, owner=f"worker-{number}")
            for number, database in enumerate([rows.database, *databases])
        ]
        sent = 0
        for _ in range(4):
            reports = await asyncio.gather(
                *(each.send_waiting(min_age=timedelta(seconds=7), limit=50) for each in workers)
            )
            sent += sum(report.detail.get("success", 0) for report in reports)
            rows.clock.tick(seconds=30)
    finally:
        for database in databases:
            await database.close()
    assert sent == 20
    posted = [txid for post in rows.network.posts for txid in post]
    assert len(posted) == len(set(posted)) == 20
    assert await rows.broken_invariants() == []
