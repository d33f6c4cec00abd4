"""A whole wallet at work, durable (SQLite, ``synchronous=FULL``), beside bsv-wallet-toolbox in the same run.

createAction+processAction: one payment, signed, every script run, AtomicBEEF returned, broadcast delayed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29
from sdk.wallet.setup import open_wallet
from support.fake_network import FakeNetwork
from support.memory import peak
from support.peers import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sdk.wallet.wallet import Wallet

ROOT, SENDER = PrivateKey.from_int(7), KeyDeriver(PrivateKey.from_int(5))
PREFIX = "cHJl"
PER_RECEIPT = 100
SIZES = (100, 1_000, 10_000)
SEQUENTIAL, CONCURRENT, AT_ONCE = 150, 640, 32
PEER_SECONDS = 3.0
TOOLBOX = "bsv-wallet-toolbox"
PAYMENT = {
    "description": "a test action",
    "labels": ["pay"],
    "outputs": [{"lockingScript": "76a914" + "ab" * 20 + "88ac", "satoshis": 100, "outputDescription": "a payment"}],
}
EVERYTHING = {
    "includeLabels": True,
    "includeInputs": True,
    "includeInputSourceLockingScripts": True,
    "includeInputUnlockingScripts": True,
    "includeOutputs": True,
    "includeOutputLockingScripts": True,
}
LIST_OUTPUTS = {
    "basket": "default",
    "limit": 100,
    "include": "locking scripts",
    "includeTags": True,
    "includeLabels": True,
}


async def run(report: Callable[..., None]) -> None:
    rates: dict[int, float] = {}
    for size in SIZES:
        rates[size] = await _actions(report, size)
    slower = rates[SIZES[0]] / rates[SIZES[-1]]
    report("createAction+processAction, 10,000 outputs against 100", slower, "times slower", limit=1 / 0.8)
    await _receipts(report)
    _memory(report)


async def _actions(report: Callable[..., None], size: int) -> float:
    async with _wallet() as (wallet, network):
        await fund(wallet, network, size)
        async with _toolbox(size) as peers:
            name = f"createAction+processAction, {size:,} mined outputs"
            await repeat(lambda: wallet.create_action(PAYMENT), 20)
            one = await repeat(lambda: wallet.create_action(PAYMENT), SEQUENTIAL)
            report(f"{name}, one after the other", one, "/s", peers.rate("create"), limit=150)
            many = await concurrent(lambda: wallet.create_action(PAYMENT), CONCURRENT, AT_ONCE)
            report(f"{name}, {AT_ONCE} at once", many, "/s", limit=250)
            outputs = await repeat(lambda: wallet.list_outputs(LIST_OUTPUTS), 100)
            report(f"listOutputs(100), {size:,} mined outputs", outputs, "/s", peers.rate("list_outputs"))
            for what, label, limit in (("payments", "pay", 10), ("receipts of 100 outputs", "in", None)):
                args = {"labels": [label], "limit": 10, **EVERYTHING}
                actions = await repeat(partial(wallet.list_actions, args), 100)
                theirs = {peer: 1000 / rate for peer, rate in peers.rate("list_actions", label=label).items()}
                name = f"listActions(10 {what}, everything), {size:,} mined outputs"
                report(name, 1000 / actions, "ms", theirs, limit=limit)
    return one


async def _receipts(report: Callable[..., None]) -> None:
    async with _wallet() as (wallet, network):
        receipts = [await _receipt(network, number, 1) for number in range(1, 401)]
        waiting = iter(receipts)
        one = await repeat(lambda: wallet.internalize_action(next(waiting)), 200)
        async with _toolbox(0) as peers:
            theirs = peers.call("rate_internalize", receipts=[_for_peer(each) for each in receipts[:50]])
        report("internalizeAction, one mined payment", one, "/s", theirs)
        many = await concurrent(lambda: wallet.internalize_action(next(waiting)), 192, AT_ONCE)
        report(f"internalizeAction, one mined payment, {AT_ONCE} at once", many, "/s")


@asynccontextmanager
async def _wallet() -> AsyncIterator[tuple[Wallet, FakeNetwork]]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("SDK_BENCH_DIR")) as folder:
        async with wallet_on(f"sqlite:///{Path(folder) / 'wallet.sqlite'}") as found:
            yield found


@asynccontextmanager
async def wallet_on(database: str) -> AsyncIterator[tuple[Wallet, FakeNetwork]]:
    """A wallet whose tables are made there."""
    network = FakeNetwork()
    async with open_wallet(
        root_key=ROOT, database=database, chain="mock", services=network, background="external", migrate=True
    ) as wallet:
        yield wallet, network


async def fund(wallet: Wallet, network: FakeNetwork, size: int) -> None:
    for number in range(size // PER_RECEIPT):
        await wallet.internalize_action(await _receipt(network, number, PER_RECEIPT))


async def _receipt(network: FakeNetwork, number: int, count: int) -> dict[str, Any]:
    """AtomicBEEF of a mined transaction with ``count`` payments of 10,000 satoshis."""
    suffixes = [f"c3Vm{vout:04d}" for vout in range(count)]
    locks = [brc29.lock(SENDER, ROOT.public_key.to_hex(), PREFIX, suffix) for suffix in suffixes]
    source = TransactionInput(OutPoint(f"{count:032x}{number:032x}", 0), Script(b"\x51"))
    transaction = Transaction(1, [source], [TransactionOutput(10_000, lock) for lock in locks], 0)
    txid = transaction.txid()
    network.accept(transaction)
    network.mine([txid])
    beef = Beef(1)
    path = (await network.get_merkle_path(txid)).path
    assert path is not None
    beef.merge_path(path)
    beef.merge_transaction(transaction)
    remittance = {"derivationPrefix": PREFIX, "senderIdentityKey": SENDER.identity_key}
    return {
        "tx": beef.to_atomic(txid),
        "description": "a receipt",
        "labels": ["in"],
        "outputs": [
            {
                "outputIndex": vout,
                "protocol": "wallet payment",
                "paymentRemittance": {**remittance, "derivationSuffix": suffix},
            }
            for vout, suffix in enumerate(suffixes)
        ],
    }


def _for_peer(receipt: dict[str, Any]) -> dict[str, Any]:
    return {**receipt, "tx": receipt["tx"].hex()}


async def repeat(action: Callable[[], Awaitable[object]], count: int) -> float:
    """Times a second, one after the other."""
    started = time.perf_counter()
    for _ in range(count):
        await action()
    return count / (time.perf_counter() - started)


async def concurrent(action: Callable[[], Awaitable[object]], count: int, at_once: int) -> float:
    async def worker() -> None:
        for _ in range(count // at_once):
            await action()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.perf_counter() - started)


class _Toolbox:
    """The peer; nothing where it is not installed."""

    def __init__(self, peer: Peer | None) -> None:
        self._peer = peer

    def call(self, op: str, **request: Any) -> dict[str, float]:
        return {} if self._peer is None else {TOOLBOX: self._peer.call(op, **request)}

    def rate(self, job: str, **given: str) -> dict[str, float]:
        return self.call("rate", job=job, seconds=PEER_SECONDS, **given)


@asynccontextmanager
async def _toolbox(size: int) -> AsyncIterator[_Toolbox]:
    """With as many outputs as ours."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("SDK_BENCH_DIR")))
        try:
            peer: Peer | None = stack.enter_context(Peer.python("wallet"))
        except BaseException as missing:  # a skip of pytest is one
            if isinstance(missing, KeyboardInterrupt):
                raise
            print(f"  without {TOOLBOX}: {missing}")
            peer = None
        toolbox = _Toolbox(peer)
        toolbox.call("open", path=str(Path(folder) / "peer.sqlite"), root=ROOT.to_hex())
        network = FakeNetwork()
        for number in range(size // PER_RECEIPT):
            toolbox.call("internalize", args=_for_peer(await _receipt(network, number, PER_RECEIPT)))
        yield toolbox


def _memory(report: Callable[..., None]) -> None:
    """In a process of its own: 10,000 outputs, then actions; the most it ever held."""
    actions = int(os.environ.get("SDK_BENCH_ACTIONS", "2000"))
    done = subprocess.run(
        [sys.executable, __file__, str(actions)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    before, after = (float(each) for each in done.stdout.split())
    report(f"memory of a wallet with 10,000 outputs after {actions:,} actions", after, "MB", limit=150)
    report(f"memory it grew by in the second half of {actions:,} actions", after - before, "MB", limit=15)


async def _measure_memory(actions: int) -> None:
    async with _wallet() as (wallet, network):
        await fund(wallet, network, 10_000)
        network.known.clear()
        await concurrent(lambda: wallet.create_action(PAYMENT), actions // 2, 8)
        half = peak()
        await concurrent(lambda: wallet.create_action(PAYMENT), actions // 2, 8)
        print(half, peak())


if __name__ == "__main__":
    asyncio.run(_measure_memory(int(sys.argv[1])))
