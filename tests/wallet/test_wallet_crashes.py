"""A whole payment, ``kill -9`` at every fail point of it (R19, R21, R27).

The points are recorded by a run that nothing happens to. At each a real process dies in the middle of Alice's payment
or Bob's receipt; what a monitor does afterwards must bring both wallets into agreement with the chain, to the satoshi.
"""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import KeyDeriver
from sdk.wallet.script.templates import brc29
from support.fake_network import FakeNetwork
from support.http_network import network_app
from support.payment_runner import ALICE, AMOUNT, BOB, REMITTANCE, START, opened
from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FUNDS = 50_000
RESTARTS = 3


class Runner:
    """The forking process of ``support.payment_runner``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, task: str, folder: Path, url: str, *, minutes: float, plan: str | None = None) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        given = {"task": task, "folder": str(folder), "url": url, "seconds": minutes * 60, "plan": plan}
        self._process.stdin.write(json.dumps(given).encode() + b"\n")
        return int(await self._process.stdout.readline())


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.payment_runner",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT / "tests",
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    yield Runner(process)
    process.stdin.close()
    await process.wait()


@pytest.fixture
def first(tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    folder.mkdir()
    return folder


async def funded(folder: Path, network: FakeNetwork) -> None:
    """Alice has one mined coin; Bob has nothing."""
    lock = brc29.lock(KeyDeriver(BOB), ALICE.public_key.to_hex(), "cHJl", "c3Vm")
    source = TransactionInput(OutPoint("11" * 32, 0), Script(b"\x51"))
    transaction = Transaction(1, [source], [TransactionOutput(FUNDS, lock)], 0)
    network.accept(transaction)
    network.mine([transaction.txid()])
    path = (await network.get_merkle_path(transaction.txid())).path
    assert path is not None
    beef = Beef()
    beef.merge_path(path)
    beef.merge_transaction(transaction)
    remittance = {"derivationPrefix": "cHJl", "derivationSuffix": "c3Vm", "senderIdentityKey": BOB.public_key.to_hex()}
    output = {"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}
    async with opened(str(folder), "alice", ALICE, network, START) as alice:
        await alice.internalize_action(
            {"tx": beef.to_atomic(transaction.txid()), "description": "funding", "outputs": [output]}
        )
    async with opened(str(folder), "bob", BOB, network, START) as bob:
        assert await bob.balance() == 0


def payments(network: FakeNetwork) -> list[Transaction]:
    """What spends Alice's coin or its change, and is mined."""
    mined = [network.known[txid] for _, txids in network.chain for txid in txids if txid in network.known]
    return [each for each in mined if str(each.inputs[0].outpoint.txid) != "11" * 32]


async def agrees(folder: Path, network: FakeNetwork) -> str:
    """Both wallets against the chain; what became of the payment."""
    made = payments(network)
    assert len(made) <= 1
    assert not network.mempool
    async with opened(str(folder), "alice", ALICE, network, START) as alice:
        spendable = await alice.list_outputs({"basket": "default", "limit": 1000})
        for each in spendable.outputs:
            outpoint = OutPoint.from_string(each.outpoint)
            assert network.spender_of(outpoint) is None
            assert network.block_of(outpoint.txid) is not None
        balance = await alice.balance()
        states = {each.txid: each.status for each in (await alice.list_actions({"labels": [], "limit": 100})).actions}
    if not made:
        assert balance == FUNDS, "nothing was paid, so nothing may be missing"
        return "not paid"
    (payment,) = made
    assert states[payment.txid()] == "completed"
    fee = FUNDS - payment.output_satoshis()
    assert 0 < fee < 100
    assert balance == FUNDS - AMOUNT - fee
    async with opened(str(folder), "bob", BOB, network, START) as bob:
        got = await bob.balance()
        if got == 0:
            beef = Beef()
            path = (await network.get_merkle_path(payment.txid())).path
            assert path is not None
            beef.merge_path(path)
            beef.merge_transaction(payment)
            output = {"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": REMITTANCE}
            args: dict[str, Any] = {"tx": beef.to_atomic(payment.txid()), "description": "again", "outputs": [output]}
            await bob.internalize_action(args)
            assert await bob.balance() == AMOUNT
            return "paid, not received"
        assert got == AMOUNT
    return "paid and received"


@pytest.mark.timeout(900)
async def test_r21_a_payment_killed_anywhere_loses_no_satoshi(runner: Runner, tmp_path: Path, first: Path) -> None:
    network = FakeNetwork()
    await funded(first, network)
    points = await _recorded(tmp_path, first, network, runner)
    assert {point.split()[0] for point in points} == {"commit.before", "commit.after", "http.before", "http.after"}
    ends = []
    for number, point in enumerate(points, 1):
        folder, world = tmp_path / f"{number}", copy.deepcopy(network)
        shutil.copytree(first, folder)
        async with TestServer(network_app(world)) as server:
            url = str(server.make_url("/"))
            plan = f"kill:{number}"
            assert await runner.run("pay", folder, url, minutes=2, plan=plan) == -signal.SIGKILL, point
            for restart in range(RESTARTS):
                assert await runner.run("repair", folder, url, minutes=20 * (restart + 1)) == 0, point
        ends.append(await agrees(folder, world))
        shutil.rmtree(folder)
    assert ends == sorted(ends, key=["not paid", "paid, not received", "paid and received"].index)
    assert set(ends) == {"not paid", "paid, not received", "paid and received"}


async def _recorded(tmp_path: Path, first: Path, network: FakeNetwork, runner: Runner) -> list[str]:
    """The fail points of a payment that nothing happens to."""
    folder, world, record = tmp_path / "recorded", copy.deepcopy(network), tmp_path / "points"
    shutil.copytree(first, folder)
    async with TestServer(network_app(world)) as server:
        url = str(server.make_url("/"))
        assert await runner.run("pay", folder, url, minutes=2, plan=f"record:{record}") == 0
        for restart in range(RESTARTS):
            assert await runner.run("repair", folder, url, minutes=20 * (restart + 1)) == 0
    assert await agrees(folder, world) == "paid and received"
    return [line.split(" ", 1)[1] for line in record.read_text().splitlines()]
