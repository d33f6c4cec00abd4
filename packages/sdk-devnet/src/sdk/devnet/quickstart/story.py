"""Alice is funded, pays Bob and writes data; it is mined, proven, reorganised away and proven again."""

from __future__ import annotations

import base64
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jwt

from sdk.core.beef import Beef
from sdk.devnet.errors import CheckFailed
from sdk.devnet.quickstart.checks import expect, until
from sdk.devnet.quickstart.network import Mined, Network
from sdk.devnet.system.stack import AUDIENCE
from sdk.service.http_client import HttpClient
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29, data
from sdk.wallet.settings import WalletSettings

if TYPE_CHECKING:
    from sdk.core.wallet import Action, CreateActionResult
    from sdk.devnet.quickstart.checks import Protocol
    from sdk.devnet.system import Stack
    from sdk.wallet import Wallet

FUNDING = 1_000_000
PAYMENT = 250_000
MESSAGE = b"hello, chain"


@dataclass
class Story:
    """The two wallets and what they have made so far."""

    alice: Wallet
    bob: Wallet
    alice_keys: KeyDeriver
    network: Network
    protocol: Protocol
    funding_txid: str = ""
    payment_txid: str = ""
    data_txid: str = ""
    fees: int = 0

    async def fund(self) -> None:
        self.protocol.begin("The faucet funds Alice")
        faucet = KeyDeriver(PrivateKey.generate())
        prefix, suffix = new_derivation(), new_derivation()
        lock = brc29.lock(faucet, self.alice.identity_key, prefix, suffix)
        funded = await self.network.faucet(lock.to_hex(), FUNDING)
        tx, index = bytes.fromhex(funded["tx"]), int(funded["outputIndex"])
        await receive(self.alice, tx, index, faucet.identity_key, prefix, suffix, "from the faucet")
        expect(await self.alice.balance(), FUNDING, "Alice's balance")
        self.funding_txid = str(funded["txid"])
        self.protocol.done("The faucet funds Alice (internalizeAction)", f"balance {FUNDING:,}")

    async def pay(self) -> None:
        self.protocol.begin("Alice pays Bob")
        prefix, suffix = new_derivation(), new_derivation()
        lock = brc29.lock(self.alice_keys, self.bob.identity_key, prefix, suffix)
        output = {"lockingScript": lock.to_hex(), "satoshis": PAYMENT, "outputDescription": "for bob"}
        paid = await self.alice.create_action(
            {
                "description": "pay Bob",
                "labels": ["quickstart"],
                "outputs": [output],
                "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
            }
        )
        self.payment_txid = self._made(paid)
        expect(await self.network.status(self.payment_txid), "SEEN_ON_NETWORK", "the network's word on the payment")
        self.protocol.done("Alice pays Bob (createAction, sent at once)", f"{PAYMENT:,} in {short(self.payment_txid)}")

        self.protocol.begin("Bob takes it in")
        assert paid.tx is not None
        await receive(self.bob, paid.tx, 0, self.alice.identity_key, prefix, suffix, "from Alice")
        expect(await self.bob.balance(), PAYMENT, "Bob's balance")
        self.protocol.done("Bob takes it in (internalizeAction)", f"balance {PAYMENT:,}")

    async def write(self) -> None:
        self.protocol.begin("Alice writes a data output")
        script = data.lock([MESSAGE])
        written = await self.alice.create_action(
            {
                "description": "write a message",
                "labels": ["quickstart"],
                "outputs": [{"lockingScript": script.to_hex(), "satoshis": 0, "outputDescription": "message"}],
                "options": {"randomizeOutputs": False},
            }
        )
        self.data_txid = self._made(written)

        async def seen() -> str | None:
            known = {each.txid: each.status for each in (await actions(self.alice))}
            return known[self.data_txid] if known[self.data_txid] == "unproven" else None

        await until("the monitor has sent the data output", seen)
        expect(await self.network.status(self.data_txid), "SEEN_ON_NETWORK", "the network's word on the data output")
        self.protocol.done("Alice writes data (createAction, sent by the monitor)", short(self.data_txid))

    async def mine(self) -> None:
        self.protocol.begin("A block is mined, and the monitor finds the proofs")
        await self.network.mine()
        height = await self._proven()
        self.protocol.done("A block is mined; the monitor finds the proofs", f"all completed at height {height}")

    async def reorganise(self) -> None:
        self.protocol.begin("A reorganisation takes the block away")
        before = {txid: await self._mined(txid) for txid in self.txids}
        await self.network.reorg(1)
        await self.network.mine()
        after = {
            txid: await until("it is mined again", partial(self._moved, txid, was)) for txid, was in before.items()
        }
        height = await self._proven()
        moved = sum(before[txid].block_hash != after[txid].block_hash for txid in self.txids)
        expect(moved, len(self.txids), "transactions in another block than before")
        self.protocol.done(
            "A reorganisation removes the block; they are proven again", f"in another block, at height {height}"
        )

    async def count(self) -> None:
        self.protocol.begin("Counting satoshis")
        alice, bob = await self.alice.balance(), await self.bob.balance()
        expect(bob, PAYMENT, "Bob's balance")
        expect(alice + bob + self.fees, FUNDING, "Alice's and Bob's satoshis and the fees")
        self.protocol.done("No satoshi is lost or made", f"{alice:,} + {bob:,} + {self.fees} fees = {FUNDING:,}")

    @property
    def txids(self) -> tuple[str, str]:
        return self.payment_txid, self.data_txid

    def _made(self, made: CreateActionResult) -> str:
        """Its txid, once its own bytes say the same; adds its fee."""
        assert made.tx is not None
        assert made.txid is not None
        beef = Beef.from_bytes(made.tx)
        transaction = beef.transaction_with_sources(made.txid)
        if transaction is None:
            raise CheckFailed(f"the AtomicBEEF of {made.txid} does not hold it")
        expect(transaction.txid(), made.txid, "the hash of the transaction's bytes")
        self.fees += transaction.fee()
        return made.txid

    async def _mined(self, txid: str) -> Mined:
        found = await self.network.mined(txid)
        if found is None:
            raise CheckFailed(f"the devnet does not have {txid} in a block")
        return found

    async def _moved(self, txid: str, before: Mined) -> Mined | None:
        found = await self.network.mined(txid)
        return found if found is not None and found.block_hash != before.block_hash else None

    async def _proven(self) -> int:
        """Wait until both wallets hold, for everything they have, the proof that the chain gives now; its height."""
        held = (self.alice, self.data_txid), (self.bob, self.payment_txid)

        async def complete() -> bool | None:
            for wallet, _ in held:
                if {each.status for each in await actions(wallet)} != {"completed"}:
                    return None
            for wallet, txid in held:
                if await proof(wallet, txid) != await self.network.mined(txid):
                    return None
            return True

        await until("every action is completed with a proof of the present chain", complete)
        height = 0
        for _, txid in held:
            mined = await self._mined(txid)
            header = await until("the header service has the block", partial(self.network.header, mined.height))
            expect(header["hash"], mined.block_hash, "the header service's block hash")
            expect(header["merkleRoot"], mined.merkle_root, "the header service's merkle root")
            height = max(height, mined.height)
        return height


async def tell(stack: Stack, protocol: Protocol) -> tuple[list[tuple[str, Action]], dict[str, int]]:
    """Run every step; the actions and the balances of both wallets at the end. Raises ``CheckFailed``."""
    settings = WalletSettings.load(environ=stack.environ)
    keys = {"alice": PrivateKey.from_hex(stack.root_key), "bob": PrivateKey.generate()}
    async with AsyncExitStack() as opened:
        wallets = {
            name: await opened.enter_async_context(open_wallet(root_key=key, settings=settings, background="external"))
            for name, key in keys.items()
        }
        http = await opened.enter_async_context(HttpClient(service="quickstart"))
        network = Network(http, stack.devnet.url, stack.headers.url)
        story = Story(wallets["alice"], wallets["bob"], KeyDeriver(keys["alice"]), network, protocol)
        for step in (story.fund, story.pay, story.write, story.mine, story.reorganise, story.count):
            await step()
        await at_the_gateway(stack, wallets["alice"], protocol)
        listed = [(name, each) for name, wallet in wallets.items() for each in await actions(wallet)]
        return listed, {name: await wallet.balance() for name, wallet in wallets.items()}


async def at_the_gateway(stack: Stack, alice: Wallet, protocol: Protocol) -> None:
    """Alice's wallet is a module, too: its key is a secret of the orchestrator, and the gateway wants a token."""
    protocol.begin("Alice's wallet is asked through the gateway")
    claims = {"sub": "quickstart", "aud": AUDIENCE, "exp": int(time.time()) + 60}
    token = jwt.encode(claims, stack.token_key, "HS256")
    headers = {"Originator": "quickstart.local", "Authorization": f"Bearer {token}"}
    async with HttpClient(stack.wallet.url, service="gateway") as http:
        refused = await http.request("POST", "/listActions", json={"labels": []}, check=False)
        expect(refused.status, 401, "what the gateway answers without a token")
        key = await http.request("POST", "/getPublicKey", json={"identityKey": True}, headers=headers)
        expect(key.json()["publicKey"], alice.identity_key, "the identity of the wallet behind the gateway")
        listed = await http.request("POST", "/listActions", json={"labels": [], "limit": 100}, headers=headers)
        expect(listed.json()["totalActions"], len(await actions(alice)), "the actions behind the gateway")
    protocol.done("Alice's wallet answers at the gateway, to a token only", f"{listed.json()['totalActions']} actions")


async def receive(
    wallet: Wallet, tx: bytes, output_index: int, sender: str, prefix: str, suffix: str, description: str
) -> None:
    """Take in a BRC-29 payment."""
    remittance = {"derivationPrefix": prefix, "derivationSuffix": suffix, "senderIdentityKey": sender}
    output = {"outputIndex": output_index, "protocol": "wallet payment", "paymentRemittance": remittance}
    accepted = await wallet.internalize_action({"tx": tx, "description": description, "outputs": [output]})
    expect(accepted.accepted, True, f"what the wallet says of the payment {description}")


async def actions(wallet: Wallet) -> tuple[Action, ...]:
    return (await wallet.list_actions({"labels": [], "limit": 100})).actions


async def proof(wallet: Wallet, txid: str) -> Mined | None:
    """What the wallet's own proof of ``txid`` says, as far as a merkle path can."""
    outputs = await wallet.list_outputs({"basket": "default", "include": "entire transactions", "limit": 100})
    path = Beef.from_bytes(outputs.beef).path_for(txid) if outputs.beef else None
    if path is None:
        return None
    services = wallet.services
    assert services is not None
    header = await services.get_header_for_height(path.block_height)
    return Mined(path.block_height, header.hash(), path.compute_root(txid))


def new_derivation() -> str:
    return base64.b64encode(os.urandom(16)).decode()


def short(txid: str) -> str:
    return f"{txid[:12]}…"
