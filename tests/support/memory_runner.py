"""A wallet with its monitor in a process of its own, on a devnet: many coins, then actions; prints its memory.

``python -m support.memory_runner DEVNET_URL OUTPUTS ACTIONS``, with the wallet's settings in the environment. Prints
JSON: the number of outputs, samples of the resident size and its peak in MB, and how the actions ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

from sdk.service.http_client import HttpClient
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29
from support.memory import peak, resident
from support.wallet_rig import pay

if TYPE_CHECKING:
    from sdk.wallet.wallet import Wallet

ALICE, FAUCET = PrivateKey.from_int(7), PrivateKey.from_int(9)
PER_RECEIPT, AT_ONCE, SAMPLES, PAGE_OF_ACTIONS = 500, 8, 20, 100


async def run(url: str, outputs: int, actions: int) -> None:
    async with HttpClient(url, service="devnet") as devnet, open_wallet(root_key=ALICE, background="monitor") as wallet:
        for _ in range(outputs // PER_RECEIPT):
            await receive(wallet, devnet)
        listed = await wallet.list_outputs({"basket": "default", "limit": 1})
        samples = []
        for _ in range(SAMPLES):
            await act(wallet, actions // SAMPLES)
            await devnet.post_json("/mine", {})
            samples.append(resident())
        states: Counter[str] = Counter()
        for offset in range(0, actions, PAGE_OF_ACTIONS):
            args = {"labels": ["paid"], "limit": PAGE_OF_ACTIONS, "offset": offset}
            states.update(each.status for each in (await wallet.list_actions(args)).actions)
        report = {
            "outputs": listed.total_outputs,
            "samples": samples,
            "peak": peak(),
            "states": states,
        }
    print(json.dumps(report))


async def receive(wallet: Wallet, devnet: HttpClient) -> None:
    lock = brc29.lock(KeyDeriver(FAUCET), wallet.identity_key, "cHJl", "c3Vm")
    body = {"lockingScript": lock.to_hex(), "satoshis": 10_000, "count": PER_RECEIPT, "mine": True}
    paid = await devnet.post_json("/faucet", body)
    remittance = {
        "derivationPrefix": "cHJl",
        "derivationSuffix": "c3Vm",
        "senderIdentityKey": FAUCET.public_key.to_hex(),
    }
    outputs = [
        {"outputIndex": index, "protocol": "wallet payment", "paymentRemittance": remittance}
        for index in range(PER_RECEIPT)
    ]
    await wallet.internalize_action(
        {"tx": bytes.fromhex(paid["tx"]), "description": "a receipt", "outputs": outputs, "labels": ["in"]}
    )


async def act(wallet: Wallet, count: int) -> None:
    args = {"description": "a test action", "labels": ["paid"], "outputs": [pay(100)]}
    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(wallet.create_action(args) for _ in range(min(AT_ONCE, count - start))))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
