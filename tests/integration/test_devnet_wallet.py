"""Two wallets, each with a monitor in its own process, whose only world is a devnet behind real sockets."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.chain import ChainParameters
from sdk.core.errors import InvalidParameter, ReviewActions
from sdk.core.wallet import INVALID_CHANGE
from sdk.devnet.faults import Fault, FaultKind
from sdk.devnet.server import DevnetServer
from sdk.service.http_client import HttpClient
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script import spv
from sdk.wallet.script.templates import brc29, data
from sdk.wallet.settings import WalletSettings
from support.wallet_rig import pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sdk.devnet.devnet import Devnet
    from sdk.wallet.settings import Background
    from sdk.wallet.wallet import Wallet

ALICE, BOB, FAUCET = PrivateKey.from_int(7), PrivateKey.from_int(8), PrivateKey.from_int(9)
FUNDING, PAYMENT, GIFT = 1_000_000, 250_000, 1_000
AT_ONCE = {"acceptDelayedBroadcast": False, "randomizeOutputs": False}
PATIENCE, PAUSE = 60.0, 0.05


@pytest.fixture(autouse=True)
def eager_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_MONITOR_POLL", "0.05")
    monkeypatch.setenv("SDK_MONITOR_SEND_MIN_AGE", "0")
    intervals = '{"send-waiting": 0.1, "new-header": 0.1, "check-for-proofs": 0.3, "reorg": 0.3}'
    monkeypatch.setenv("SDK_MONITOR_INTERVALS", intervals)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with DevnetServer() as server, HttpClient(server.urls.base, service="devnet") as http:
        yield World(tmp_path, server, http)


@dataclass
class World:
    """A devnet, what it was asked for, and every transaction that anybody made on it."""

    folder: Path
    server: DevnetServer
    http: HttpClient
    made: dict[str, Beef] = field(default_factory=dict)
    given_away: int = 0

    @property
    def devnet(self) -> Devnet:
        return self.server.devnet

    def opened(
        self, root: PrivateKey, name: str, background: Background = "monitor"
    ) -> AbstractAsyncContextManager[Wallet]:
        database = f"sqlite:///{self.folder / name}.sqlite"
        environ = {**self.server.urls.wallet_settings(), "SDK_WALLET_DATABASE": database}
        return open_wallet(root_key=root, settings=WalletSettings.load(environ=environ), background=background)

    async def fund(self, *wallets: Wallet, mine: bool = False) -> str:
        """One payment of the faucet, taken in by every one of ``wallets`` (all of the same key)."""
        lock = brc29.lock(KeyDeriver(FAUCET), wallets[0].identity_key, "cHJl", "c3Vm")
        body = {"lockingScript": lock.to_hex(), "satoshis": FUNDING, "mine": mine}
        paid = await self.http.post_json("/faucet", body)
        tx = bytes.fromhex(paid["tx"])
        self.keep(paid["txid"], tx)
        for wallet in wallets:
            await receive(wallet, tx, paid["outputIndex"], FAUCET.public_key.to_hex())
        return str(paid["txid"])

    async def create(self, wallet: Wallet, outputs: list[dict[str, Any]], **options: Any) -> str:
        args = {"description": "a test action", "outputs": outputs, "options": options}
        made = await wallet.create_action(args)
        assert made.txid is not None
        assert made.tx is not None
        return self.keep(made.txid, made.tx)

    def keep(self, txid: str, tx: bytes) -> str:
        beef = Beef.from_bytes(tx)
        assert beef.atomic_txid == txid
        self.made[txid] = beef
        return txid

    async def mine(self) -> None:
        await self.http.post_json("/mine", {})

    async def reorg(self, depth: int) -> None:
        await self.http.post_json("/reorg", {"depth": depth})

    async def row_status(self, name: str, txid: str) -> str | None:
        """listActions does not tell of what failed."""
        with closing(sqlite3.connect(self.folder / f"{name}.sqlite")) as database:
            row = database.execute("SELECT status FROM transactions WHERE txid = ?", (txid,)).fetchone()
        return row[0] if row else None

    def fee(self, txid: str) -> int:
        transaction = self.made[txid].transaction_with_sources(txid)
        assert transaction is not None
        return transaction.fee()

    async def verify_everything(self, wallet: Wallet) -> None:
        """By what was handed out at the time (on the roots it names), and by what the devnet knows of it now."""
        services = wallet.services
        assert services is not None
        chain = ChainParameters.named("mock")
        for txid, beef in self.made.items():
            spv.check(beef, txid, chain=chain)
            await spv.verify(self.devnet.beef(txid), txid, services.chain_tracker, chain=chain)


async def receive(wallet: Wallet, tx: bytes, index: int, sender: str) -> None:
    remittance = {"derivationPrefix": "cHJl", "derivationSuffix": "c3Vm", "senderIdentityKey": sender}
    outputs = [{"outputIndex": index, "protocol": "wallet payment", "paymentRemittance": remittance}]
    assert (await wallet.internalize_action({"tx": tx, "description": "a payment", "outputs": outputs})).accepted


def lock_to(wallet: Wallet, sender: PrivateKey) -> str:
    return brc29.lock(KeyDeriver(sender), wallet.identity_key, "cHJl", "c3Vm").to_hex()


async def states(wallet: Wallet) -> dict[str, str]:
    listed = await wallet.list_actions({"labels": [], "limit": 100})
    return {each.txid or each.description: each.status for each in listed.actions}


async def until(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    """The monitor works when it likes; how it ends is fixed."""
    found: object = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await look()
                if found == wanted:
                    return
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        pytest.fail(f"after {PATIENCE:.0f} s there is {found}, not {wanted}")


async def until_proven(world: World, *wallets: Wallet) -> None:
    """Every action completed, and every coin's proof one of the present chain."""
    for wallet in wallets:
        everything = dict.fromkeys(await states(wallet), "completed")
        await until(lambda wallet=wallet: states(wallet), everything)  # type: ignore[misc]
        await until(lambda wallet=wallet: roots_hold(world, wallet), True)  # type: ignore[misc]


async def roots_hold(world: World, wallet: Wallet) -> bool:
    args = {"basket": "default", "include": "entire transactions", "limit": 100}
    listed = await wallet.list_outputs(args)
    assert listed.beef is not None
    roots = Beef.from_bytes(listed.beef).roots()
    return all([await world.devnet.is_valid_root_for_height(root, height) for height, root in roots.items()])


@asynccontextmanager
async def two_wallets(world: World) -> AsyncIterator[tuple[Wallet, Wallet]]:
    async with world.opened(ALICE, "alice") as alice, world.opened(BOB, "bob") as bob:
        yield alice, bob


async def test_pay_write_mine_prove_reorganise_and_prove_again(world: World) -> None:
    async with two_wallets(world) as (alice, bob):
        await world.fund(alice)
        assert await alice.balance() == FUNDING

        payment = await world.create(alice, [pay(PAYMENT, lock_to(bob, ALICE))], **AT_ONCE)
        assert payment in world.devnet.chain.mempool.entries
        await receive(bob, world.made[payment].to_atomic(payment), 0, alice.identity_key)
        written = await world.create(alice, [pay(0, data.lock([b"hello, chain"]).to_hex())])
        gift = await world.create(bob, [pay(GIFT)])
        await until(lambda: states_of(alice, written), "unproven")
        await until(lambda: states_of(bob, gift), "unproven")
        assert {payment, written, gift} <= set(world.devnet.chain.mempool.entries)

        await world.mine()
        await until_proven(world, alice, bob)
        first = {txid: proof_of(world, txid) for txid in world.made}

        await world.reorg(1)
        await world.mine()
        assert all(proof_of(world, txid) != was for txid, was in first.items()), "everything is in another block"
        await until_proven(world, alice, bob)

        fees = sum(map(world.fee, (payment, written, gift)))
        assert fees > 0
        assert await bob.balance() == PAYMENT - GIFT - world.fee(gift)
        assert await alice.balance() + await bob.balance() + GIFT + fees == FUNDING
        again = await world.create(alice, [pay(GIFT)], **AT_ONCE)
        assert await alice.balance() + await bob.balance() + 2 * GIFT + fees + world.fee(again) == FUNDING
        await world.verify_everything(alice)


async def test_a_delayed_send_that_loses_its_coin_to_a_rival_fails_and_frees_nothing(world: World) -> None:
    """The same seed opened twice: one wallet does not know what the other has spent."""
    async with world.opened(ALICE, "twin", "none") as twin, two_wallets(world) as (alice, bob):
        await world.fund(alice, twin)
        rival = await world.create(twin, [pay(PAYMENT, lock_to(bob, ALICE))], **AT_ONCE)
        await receive(bob, world.made[rival].to_atomic(rival), 0, twin.identity_key)
        late = await world.create(alice, [pay(GIFT)])
        del world.made[late]
        await until(lambda: world.row_status("alice", late), "failed")
        assert late not in world.devnet.chain.transactions
        assert await alice.balance() == 0, "the coin is spent, and the change never was"
        await world.mine()
        await until_proven(world, bob)
        assert await twin.balance() + await bob.balance() + world.fee(rival) == FUNDING
        await world.verify_everything(bob)


async def test_a_rival_that_is_refused_at_once_names_its_winner(world: World) -> None:
    async with world.opened(ALICE, "alice", "none") as alice, world.opened(ALICE, "twin", "none") as twin:
        await world.fund(alice, twin, mine=True)
        winner = await world.create(twin, [pay(GIFT)], **AT_ONCE)
        with pytest.raises(ReviewActions) as caught:
            await world.create(alice, [pay(GIFT)], **AT_ONCE)
        (review,) = caught.value.review_action_results
        assert (review["status"], review["competingTxs"]) == ("doubleSpend", [winner])
        assert await alice.balance() == 0
        assert await twin.balance() + GIFT + world.fee(winner) == FUNDING
        await world.verify_everything(twin)


async def test_r56_a_failed_action_that_the_network_has_after_all_lives_again(world: World) -> None:
    async with world.opened(ALICE, "alice", "none") as alice:
        await world.fund(alice, mine=True)
        txid = await world.create(alice, [pay(GIFT)], noSend=True)
        assert [each.txid for each in (await alice.list_no_send_actions()).actions] == [txid]
        await alice.list_no_send_actions(abort=True)
        assert (await alice.list_no_send_actions()).actions == ()
        assert await failed_after_unfail(alice) == [txid], "nobody knows it"
        transaction = world.made[txid].transaction(txid)
        assert transaction is not None
        world.devnet.submit(transaction)
        world.devnet.faults.add(Fault(kind=FaultKind.ERROR))
        assert await failed_after_unfail(alice) == [txid], "nobody can say"
    world.devnet.faults.clear()
    async with world.opened(ALICE, "alice") as alice:
        assert await alice.balance() == FUNDING
        assert await failed_after_unfail(alice) == []
        assert await states_of(alice, txid) == "unproven"
        assert await alice.balance() == FUNDING - GIFT - world.fee(txid)
        await world.mine()
        await until_proven(world, alice)


async def failed_after_unfail(wallet: Wallet) -> list[str]:
    await wallet.list_failed_actions(unfail=True)
    return [each.txid for each in (await wallet.list_failed_actions()).actions]


async def test_r57_coins_spent_elsewhere_are_named_and_put_aside_when_asked(world: World) -> None:
    async with world.opened(ALICE, "alice", "none") as alice, world.opened(ALICE, "twin", "none") as twin:
        await world.fund(alice, twin, mine=True)
        await world.fund(alice, twin)
        payment = await world.create(twin, [pay(GIFT)], **AT_ONCE)
        assert await twin.review_spendable_outputs(everywhere=True, release=True) == ()
        world.devnet.faults.add(Fault(kind=FaultKind.ERROR))
        assert await alice.review_spendable_outputs(release=True) == (), "who cannot say is no witness"
    world.devnet.faults.clear()
    transaction = world.made[payment].transaction(payment)
    assert transaction is not None
    spent = [str(each.outpoint) for each in transaction.inputs]
    assert len(spent) == 1
    async with world.opened(ALICE, "alice", "none") as alice:

        async def named(**flags: bool) -> list[str]:
            return [each.outpoint for each in await alice.review_spendable_outputs(**flags)]

        assert await named() == await named(everywhere=True) == spent
        assert await alice.balance() == 2 * FUNDING
        assert await named(release=True) == spent
        assert await named(everywhere=True) == []
        total, utxos = await alice.balance_and_utxos()
        assert (total, len(utxos)) == (FUNDING, 1)
        with pytest.raises(InvalidParameter, match="tags"):
            await alice.list_outputs({"basket": INVALID_CHANGE, "tags": ["releases"]})


async def states_of(wallet: Wallet, txid: str) -> str | None:
    return (await states(wallet)).get(txid)


def proof_of(world: World, txid: str) -> tuple[int, str]:
    path = world.devnet.merkle_path(txid)
    assert path is not None
    return path.block_height, path.compute_root(txid)
