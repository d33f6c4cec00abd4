"""Makes a payment in a child process that may be killed, or repairs what it left. ``python -m support.payment_runner``.

Reads one JSON object a line: ``task`` (*pay* or *repair*), ``folder`` with both databases, ``url`` of the network,
``seconds`` since the start, and ``plan`` for the fail points (or null). Forks, so that the imports are paid once;
answers with the child's exit status.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sdk.service import failpoints
from sdk.service.database import Database
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.script.templates import brc29
from sdk.wallet.setup import open_wallet
from support.http_network import HttpNetwork

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sdk.wallet.wallet import Wallet

ALICE, BOB = PrivateKey.from_int(7), PrivateKey.from_int(8)
AMOUNT = 7_000
REMITTANCE = {
    "derivationPrefix": "cHJlZml4",
    "derivationSuffix": "c3VmZml4",
    "senderIdentityKey": ALICE.public_key.to_hex(),
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def url_of(folder: str, name: str) -> str:
    return f"sqlite:///{folder}/{name}.sqlite"


def opened(
    folder: str, name: str, root: PrivateKey, network: Any, now: datetime
) -> AbstractAsyncContextManager[Wallet]:
    return open_wallet(
        root_key=root,
        database=url_of(folder, name),
        chain="mock",
        services=network,
        background="none",
        clock=lambda: now,
    )


async def pay(folder: str, network: HttpNetwork, now: datetime) -> None:
    """Alice pays Bob and hands him the transaction; Bob takes it in."""
    lock = brc29.lock(KeyDeriver(ALICE), BOB.public_key.to_hex(), "cHJlZml4", "c3VmZml4").to_hex()
    async with opened(folder, "alice", ALICE, network, now) as alice:
        made = await alice.create_action(
            {
                "description": "for bob",
                "outputs": [{"lockingScript": lock, "satoshis": AMOUNT, "outputDescription": "a payment"}],
                "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
            }
        )
    output = {"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": REMITTANCE}
    async with opened(folder, "bob", BOB, network, now) as bob:
        await bob.internalize_action({"tx": made.tx, "description": "from alice", "outputs": [output]})


async def repair(folder: str, network: HttpNetwork, now: datetime) -> None:
    """What a monitor would have done in the meantime, once, for each of them."""
    for name in ("alice", "bob"):
        async with await Database.open(url_of(folder, name)) as database:
            backend = WalletBackend(database, network, clock=lambda: now)
            await backend.send_waiting(min_age=timedelta(0), limit=100)
            await network.call("mine")
            tip = await backend.tip()
            await backend.follow_tip(tip)
            await backend.check_for_proofs(up_to_height=tip.height, limit=100)
            await backend.fail_abandoned(older_than=timedelta(minutes=1), limit=100)


async def work(given: dict[str, Any]) -> None:
    network = HttpNetwork(given["url"])
    task = {"pay": pay, "repair": repair}[given["task"]]
    try:
        await task(given["folder"], network, START + timedelta(seconds=given["seconds"]))
    finally:
        await network.close()


def child(given: dict[str, Any]) -> None:
    if given["plan"] is not None:
        failpoints.reach = failpoints.Failpoints(given["plan"]).reach  # type: ignore[misc]
        failpoints.active = True  # type: ignore[misc]
    asyncio.run(work(given))


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(json.loads(line))
                status = 0
            except BaseException:  # noqa: BLE001 - the parent is told by the exit status
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
