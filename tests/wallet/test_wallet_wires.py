"""Two wallets over HTTP: fund, pay, receive, mine, prove, reorganise; every service spoken to in its own wire."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import ReviewActions
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.monitoring import open_backend
from sdk.wallet.script.templates import brc29
from sdk.wallet.services.composition import build_services
from sdk.wallet.services.ports import ProofState, TxState, UtxoState
from sdk.wallet.settings import WalletSettings
from support.fake_network import FakeNetwork
from support.wallet_rig import pay
from support.wire_network import wires

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sdk.wallet.wallet import Wallet

ALICE, BOB = PrivateKey.from_int(7), PrivateKey.from_int(8)


def settings_for(folder: Path, name: str, environ: dict[str, str]) -> WalletSettings:
    return WalletSettings.load(environ={**environ, "SDK_WALLET_DATABASE": f"sqlite:///{folder / name}.sqlite"})


def opened(root: PrivateKey, settings: WalletSettings) -> AbstractAsyncContextManager[Wallet]:
    return open_wallet(root_key=root, settings=settings, background="external")


def payment(sender: str) -> list[dict[str, Any]]:
    remittance = {"derivationPrefix": "cHJl", "derivationSuffix": "c3Vm", "senderIdentityKey": sender}
    return [{"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}]


async def fund(wallet: Wallet, network: FakeNetwork, satoshis: int) -> None:
    lock = brc29.lock(KeyDeriver(BOB), wallet.identity_key, "cHJl", "c3Vm")
    source = TransactionInput(OutPoint(f"{satoshis:064x}", 0), Script(b"\x51"))
    transaction = Transaction(1, [source], [TransactionOutput(satoshis, lock)], 0)
    network.accept(transaction)
    network.mine([transaction.txid()])
    path = (await network.get_merkle_path(transaction.txid())).path
    assert path is not None
    beef = Beef()
    beef.merge_path(path)
    beef.merge_transaction(transaction)
    tx = beef.to_atomic(transaction.txid())
    args = {"tx": tx, "description": "funding", "outputs": payment(BOB.public_key.to_hex())}
    assert (await wallet.internalize_action(args)).accepted


async def monitor_once(settings: WalletSettings) -> dict[str, dict[str, int]]:
    backend = await open_backend(settings)
    try:
        tip = await backend.tip()
        sent = await backend.send_waiting(min_age=timedelta(0), limit=100)
        followed = await backend.follow_tip(tip)
        proven = await backend.check_for_proofs(up_to_height=tip.height, limit=100)
        return {"sent": dict(sent.detail), "followed": dict(followed.detail), "proven": dict(proven.detail)}
    finally:
        await backend.close()


async def states(wallet: Wallet) -> set[str]:
    return {each.status for each in (await wallet.list_actions({"labels": [], "limit": 100})).actions}


async def test_two_wallets_pay_each_other_until_it_is_proven_and_proven_again(tmp_path: Path) -> None:
    network = FakeNetwork()
    async with wires(network) as (wired, environ):
        for_alice, for_bob = settings_for(tmp_path, "alice", environ), settings_for(tmp_path, "bob", environ)
        async with opened(ALICE, for_alice) as alice, opened(BOB, for_bob) as bob:
            await fund(alice, network, 50_000)
            lock = brc29.lock(KeyDeriver(ALICE), bob.identity_key, "cHJl", "c3Vm").to_hex()
            paid = await alice.create_action(
                {
                    "description": "for bob",
                    "outputs": [pay(20_000, lock), pay(0, "006a0568656c6c6f")],
                    "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
                }
            )
            assert [each.status for each in paid.send_with_results or ()] == ["unproven"]
            assert wired.received[-1][8:] == "0000000000ef", "its parent is mined: extended format"
            got = await bob.internalize_action(
                {"tx": paid.tx, "description": "from alice", "outputs": payment(alice.identity_key)}
            )
            assert got.satoshis == 20_000
            later = await bob.create_action({"description": "spend it", "outputs": [pay(1000)]})
            await monitor_once(for_bob)
            assert wired.received[-1].startswith("0100beef"), "its parent is not mined: extended format will not do"
            assert {paid.txid, later.txid} <= set(network.mempool)
            network.mine()
            for settings in (for_alice, for_bob):
                await monitor_once(settings)
            assert await states(alice) == {"completed"}
            assert await states(bob) == {"completed"}
            before = (await alice.balance(), await bob.balance())

            network.reorg(1)
            network.mine([])
            network.mine()
            for _ in range(2):
                for settings in (for_alice, for_bob):
                    await monitor_once(settings)
            assert await states(alice) == {"completed"}
            assert await states(bob) == {"completed"}
            assert (await alice.balance(), await bob.balance()) == before
            again = await alice.create_action({"description": "once more", "outputs": [pay(500)]})
            assert set(Beef.from_bytes(again.tx or b"").roots().values()) <= {h.merkle_root for h, _ in network.chain}


async def test_a_spent_coin_is_told_apart_from_an_outage(tmp_path: Path) -> None:
    network = FakeNetwork()
    async with wires(network) as (_, environ):
        settings = settings_for(tmp_path, "alice", environ)
        async with opened(ALICE, settings) as alice:
            await fund(alice, network, 50_000)
            (coin,) = (await alice.list_outputs({"basket": "default"})).outputs
            thief = Transaction(
                1,
                [TransactionInput(OutPoint.from_string(coin.outpoint), Script())],
                [TransactionOutput(1, Script())],
                0,
            )
            network.accept(thief)
            with pytest.raises(ReviewActions) as caught:
                await alice.create_action(
                    {
                        "description": "too late",
                        "outputs": [pay(1000)],
                        "options": {"acceptDelayedBroadcast": False},
                    }
                )
            (review,) = caught.value.review_action_results
            assert review["status"] == "doubleSpend"
            assert review["competingTxs"] == [thief.txid()]
            assert await alice.balance() == 0


async def test_services_over_their_wires(tmp_path: Path) -> None:
    network = FakeNetwork()
    async with wires(network) as (_, environ):
        services = build_services(settings_for(tmp_path, "nobody", environ))
        assert services is not None
        lock = Script.from_hex(pay(0)["lockingScript"])
        source = TransactionInput(OutPoint("11" * 32, 0), Script(b"\x51"))
        transaction = Transaction(1, [source], [TransactionOutput(1000, lock), TransactionOutput(2000, lock)], 0)
        txid, outpoint = transaction.txid(), OutPoint(transaction.txid(), 0)
        assert (await services.get_statuses([txid]))[txid].state is TxState.UNKNOWN
        assert (await services.get_utxo_status(outpoint, lock)).state is UtxoState.UNAVAILABLE
        assert await services.get_raw_tx(txid) is None
        network.accept(transaction)
        assert (await services.get_statuses([txid]))[txid].state is TxState.KNOWN
        assert (await services.get_utxo_status(outpoint, lock)).state is UtxoState.UNSPENT
        assert (await services.get_merkle_path(txid)).state is ProofState.NOT_FOUND
        header = network.mine()
        proof = await services.get_merkle_path(txid)
        assert (proof.state, proof.header) == (ProofState.FOUND, header)
        assert await services.get_raw_tx(txid) == transaction.to_bytes()
        assert await services.get_height() == network.height
        assert await services.get_header_for_hash(header.hash()) == (network.height, header)
        network.accept(Transaction(1, [TransactionInput(outpoint, Script())], [TransactionOutput(1, lock)], 0))
        assert (await services.get_utxo_status(outpoint, lock)).state is UtxoState.SPENT
        await services.close()
