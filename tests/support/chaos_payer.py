"""A wallet that pays its peer and takes in what the peer pays, on and on, until it is killed or told to stop.

``python -m support.chaos_payer CONFIG``; ``SDK_WALLET_*`` points it at its database and services. Before a payment is
made its derivation is noted, so that whoever looks later finds every output that may exist; a payment reaches the peer
as a file that appears whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.core.errors import InsufficientFunds, InvalidParameter, ReviewActions, ServiceError, StorageBusy
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29
from sdk.wallet.settings import WalletSettings
from sdk.wallet.setup import open_wallet

if TYPE_CHECKING:
    from sdk.wallet.wallet import Wallet

PREFIX = b64encode(b"chaos").decode()
LETTERS = 5
EXPECTED = (InsufficientFunds, ReviewActions, ServiceError, StorageBusy)
"""What a healthy wallet says while services die and coins run out."""


@dataclass(frozen=True)
class Payer:
    wallet: Wallet
    key: PrivateKey
    peer: str
    asked: Path
    inbox: Path
    outbox: Path
    choose: random.Random

    async def receive(self) -> None:
        for path, letter in _letters(self.inbox)[:LETTERS]:
            await self._take_in(letter)
            path.unlink()

    async def pay(self) -> None:
        await self.choose.choice((self._pay_at_once, self._pay_delayed, self._pay_delayed, self._hold, self._begin))()

    async def _take_in(self, letter: dict[str, Any]) -> None:
        args = {"tx": bytes.fromhex(letter["tx"]), "description": "from the peer", "outputs": [remittance(letter)]}
        try:
            await self.wallet.internalize_action(args)
        except InvalidParameter as error:  # a reorganisation took its proof's block away: it is delivered anew later
            print(f"not taken in: {error}", flush=True)

    async def _pay_at_once(self) -> None:
        await self._pay(acceptDelayedBroadcast=False)

    async def _pay_delayed(self) -> None:
        await self._pay()

    async def _hold(self) -> None:
        """Made first, and sent with the next."""
        txid = await self._pay(noSend=True)
        await self.wallet.create_action({"description": "send what was held", "options": {"sendWith": [txid]}})

    async def _begin(self) -> None:
        """Never signed: given up at once, or left for the monitor."""
        output = {"lockingScript": "006a", "satoshis": 0, "outputDescription": "nothing"}
        begun = await self.wallet.create_action(
            {"description": "never signed", "outputs": [output], "options": {"signAndProcess": False}}
        )
        assert begun.signable_transaction is not None
        if self.choose.random() < 0.5:
            await self.wallet.abort_action({"reference": begun.signable_transaction.reference})

    async def _pay(self, **options: Any) -> str:
        suffix, satoshis = b64encode(self.choose.randbytes(12)).decode(), self.choose.randint(1, 20_000)
        _note(self.asked, suffix)
        lock = brc29.lock(KeyDeriver(self.key), self.peer, PREFIX, suffix)
        output = {"lockingScript": lock.to_hex(), "satoshis": satoshis, "outputDescription": "a payment"}
        made = await self.wallet.create_action(
            {"description": "pay the peer", "outputs": [output], "options": {"randomizeOutputs": False, **options}}
        )
        assert made.tx is not None
        assert made.txid is not None
        _post(self.outbox, {"tx": made.tx.hex(), "vout": 0, "suffix": suffix, "sender": self.wallet.identity_key})
        return made.txid


def _letters(inbox: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, json.loads(path.read_text())) for path in sorted(inbox.glob("*.json"))]


def _note(asked: Path, suffix: str) -> None:
    with asked.open("a") as file:
        file.write(f"{suffix}\n")


def _post(outbox: Path, letter: dict[str, Any]) -> None:
    name = letter["suffix"].encode().hex()
    draft = outbox / f"{name}.draft"
    draft.write_text(json.dumps(letter))
    draft.rename(outbox / f"{name}.json")


def remittance(letter: dict[str, Any]) -> dict[str, Any]:
    """The output to take in."""
    return {
        "outputIndex": letter["vout"],
        "protocol": "wallet payment",
        "paymentRemittance": {
            "derivationPrefix": PREFIX,
            "derivationSuffix": letter["suffix"],
            "senderIdentityKey": letter["sender"],
        },
    }


async def live(given: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings, key = WalletSettings.load(environ=os.environ), PrivateKey.from_hex(given["key"])
    choose = random.Random()
    async with open_wallet(root_key=key, settings=settings, background="external", migrate=False) as wallet:
        asked, inbox, outbox = (Path(given[name]) for name in ("asked", "inbox", "outbox"))
        payer = Payer(wallet, key, given["peer"], asked, inbox, outbox, choose)
        while not stop.is_set():
            for work in (payer.pay, payer.receive):
                try:
                    await work()
                except EXPECTED as error:
                    print(f"{type(error).__name__}: {error}", flush=True)
            try:
                async with asyncio.timeout(choose.expovariate(1 / given["pace"])):
                    await stop.wait()
            except TimeoutError:
                continue


if __name__ == "__main__":
    asyncio.run(live(json.loads(sys.argv[1])))
