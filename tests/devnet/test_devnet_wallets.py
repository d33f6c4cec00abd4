"""Two wallets whose only world is a devnet: fund, pay, receive, mine, prove, reorganise, lose to a double spend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import ReviewActions
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.devnet.faults import Fault, FaultKind
from sdk.devnet.lies import Lie
from sdk.devnet.server import DevnetServer
from sdk.service.database import Database
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.script.templates import brc29
from sdk.wallet.services.composition import build_services
from sdk.wallet.services.ports import ProofState, TxState, UtxoState
from sdk.wallet.settings import WalletSettings
from support.wallet_rig import pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sdk.devnet.devnet import Devnet
    from sdk.wallet.wallet import Wallet

ALICE, BOB, FAUCET = PrivateKey.from_int(7), PrivateKey.from_int(8), PrivateKey.from_int(9)
OP_TRUE = Script(b"\x51")


@pytest.fixture
async def server() -> AsyncIterator[DevnetServer]:
    async with DevnetServer() as running:
        yield running


def settings_for(folder: Path, name: str, server: DevnetServer) -> WalletSettings:
    environ = {**server.urls.wallet_settings(), "SDK_WALLET_DATABASE": f"sqlite:///{folder / name}.sqlite"}
    return WalletSettings.load(environ=environ)


def opened(root: PrivateKey, settings: WalletSettings) -> AbstractAsyncContextManager[Wallet]:
    return open_wallet(root_key=root, settings=settings, background="external")


def payment(sender: str) -> list[dict[str, Any]]:
    remittance = {"derivationPrefix": "cHJl", "derivationSuffix": "c3Vm", "senderIdentityKey": sender}
    return [{"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}]


async def fund(wallet: Wallet, devnet: Devnet, satoshis: int, *, mined: bool) -> None:
    lock = brc29.lock(KeyDeriver(FAUCET), wallet.identity_key, "cHJl", "c3Vm")
    funding = devnet.fund(lock, satoshis, mine=mined)
    args = {"tx": funding.beef, "description": "funding", "outputs": payment(FAUCET.public_key.to_hex())}
    assert (await wallet.internalize_action(args)).accepted


async def monitor_once(settings: WalletSettings, later: timedelta = timedelta(0)) -> None:
    services = build_services(settings)
    assert services is not None
    database = await Database.open(settings.database)
    backend = WalletBackend(
        database, services, clock=lambda: datetime.now(UTC) + later, closing=(services.close, database.close)
    )
    try:
        tip = await backend.tip()
        await backend.send_waiting(min_age=timedelta(0), limit=100)
        await backend.follow_tip(tip)
        await backend.check_for_proofs(up_to_height=tip.height, limit=100)
    finally:
        await backend.close()


async def states(wallet: Wallet) -> set[str]:
    return {each.status for each in (await wallet.list_actions({"labels": [], "limit": 100})).actions}


@pytest.mark.parametrize("mined", [True, False])
async def test_two_wallets_pay_each_other_until_it_is_proven_and_proven_again(
    tmp_path: Path, server: DevnetServer, mined: bool
) -> None:
    devnet = server.devnet
    for_alice, for_bob = settings_for(tmp_path, "alice", server), settings_for(tmp_path, "bob", server)
    async with opened(ALICE, for_alice) as alice, opened(BOB, for_bob) as bob:
        await fund(alice, devnet, 50_000, mined=mined)
        lock = brc29.lock(KeyDeriver(ALICE), bob.identity_key, "cHJl", "c3Vm").to_hex()
        paid = await alice.create_action(
            {
                "description": "for bob",
                "outputs": [pay(20_000, lock), pay(0, "006a0568656c6c6f")],
                "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
            }
        )
        assert [each.status for each in paid.send_with_results or ()] == ["unproven"]
        assert paid.txid in devnet.chain.mempool.entries
        got = await bob.internalize_action(
            {"tx": paid.tx, "description": "from alice", "outputs": payment(alice.identity_key)}
        )
        assert got.satoshis == 20_000
        later = await bob.create_action({"description": "spend it", "outputs": [pay(1000)]})
        await monitor_once(for_bob)
        assert {paid.txid, later.txid} <= set(devnet.chain.mempool.entries)
        devnet.mine()
        assert len(devnet.chain.mempool) == 0
        for settings in (for_alice, for_bob):
            await monitor_once(settings)
        assert await states(alice) == {"completed"}
        assert await states(bob) == {"completed"}
        before = (await alice.balance(), await bob.balance())

        devnet.reorg(1)
        assert {paid.txid, later.txid} <= set(devnet.chain.mempool.entries)
        devnet.mine()
        for _ in range(2):
            for settings in (for_alice, for_bob):
                await monitor_once(settings)
        assert await states(alice) == {"completed"}
        assert await states(bob) == {"completed"}
        assert (await alice.balance(), await bob.balance()) == before
        again = await alice.create_action({"description": "once more", "outputs": [pay(500)]})
        for height, root in Beef.from_bytes(again.tx or b"").roots().items():
            assert devnet.header_at(height).merkle_root == root


async def test_a_spent_coin_is_told_apart_from_an_outage(tmp_path: Path, server: DevnetServer) -> None:
    """The same seed opened twice: the second wallet does not know what the first has spent."""
    devnet = server.devnet
    settings, other = settings_for(tmp_path, "alice", server), settings_for(tmp_path, "twin", server)
    async with opened(ALICE, settings) as alice, opened(ALICE, other) as twin:
        lock = brc29.lock(KeyDeriver(FAUCET), alice.identity_key, "cHJl", "c3Vm")
        funding = devnet.fund(lock, 50_000, mine=True)
        args = {"tx": funding.beef, "description": "funding", "outputs": payment(FAUCET.public_key.to_hex())}
        for wallet in (alice, twin):
            assert (await wallet.internalize_action(args)).accepted
        request = {
            "description": "the same coin",
            "outputs": [pay(1000)],
            "options": {"acceptDelayedBroadcast": False},
        }
        first = await twin.create_action(request)
        with pytest.raises(ReviewActions) as caught:
            await alice.create_action(request)
        (review,) = caught.value.review_action_results
        assert review["status"] == "doubleSpend"
        assert review["competingTxs"] == [first.txid]
        assert await alice.balance() == 0


async def test_services_over_the_real_wires(tmp_path: Path, server: DevnetServer) -> None:
    devnet = server.devnet
    services = build_services(settings_for(tmp_path, "nobody", server))
    assert services is not None
    funding = devnet.fund(OP_TRUE, 5_000)
    txid, outpoint = funding.txid, OutPoint(funding.txid, 0)
    assert (await services.get_statuses(["ab" * 32]))["ab" * 32].state is TxState.UNKNOWN
    assert await services.get_raw_tx("ab" * 32) is None
    assert (await services.get_statuses([txid]))[txid].state is TxState.KNOWN
    assert (await services.get_utxo_status(outpoint, OP_TRUE)).state is UtxoState.UNSPENT
    assert (await services.get_merkle_path(txid)).state is ProofState.NOT_FOUND
    devnet.mine()
    proof = await services.get_merkle_path(txid)
    assert (proof.state, proof.header) == (ProofState.FOUND, devnet.tip.block.header)
    assert proof.path is not None
    assert proof.path.compute_root(txid) == devnet.tip.block.header.merkle_root
    assert await services.get_raw_tx(txid) == funding.transaction.to_bytes()
    assert await services.get_height() == devnet.height
    assert await services.get_header_for_hash(devnet.tip.hash) == (devnet.height, devnet.tip.block.header)
    assert await services.get_header_for_height(1) == devnet.header_at(1)
    spending = Transaction(1, [TransactionInput(outpoint, Script(b""))], [TransactionOutput(4_000, Script(b"\x52"))], 0)
    devnet.submit(spending)
    assert (await services.get_utxo_status(outpoint, OP_TRUE)).state is UtxoState.SPENT
    stale = devnet.tip.hash
    devnet.reorg(1)
    assert await services.get_header_for_hash(stale) is None
    await services.close()


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DROP_ANSWER, FaultKind.ERROR, FaultKind.ERROR_ANSWER])
async def test_a_broadcast_nobody_answered_is_sent_again_and_loses_nothing(
    tmp_path: Path, server: DevnetServer, kind: FaultKind
) -> None:
    devnet = server.devnet
    settings = settings_for(tmp_path, "alice", server)
    async with opened(ALICE, settings) as alice:
        await fund(alice, devnet, 50_000, mined=True)
        for endpoint in ("arc.*", "whatsonchain.broadcast"):
            devnet.faults.add(Fault(endpoint=endpoint, kind=kind))
        with pytest.raises(ReviewActions) as caught:
            await alice.create_action(
                {
                    "description": "into the dark",
                    "outputs": [pay(20_000)],
                    "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
                }
            )
        assert [each["status"] for each in caught.value.review_action_results] == ["serviceError"]
        txid = caught.value.txid
        assert txid is not None
        assert "failed" not in await states(alice), "no answer is no verdict"
        devnet.faults.clear()
        await monitor_once(settings, later=timedelta(hours=1))
        assert txid in devnet.chain.mempool.entries
        devnet.mine()
        await monitor_once(settings)
        assert await states(alice) == {"completed"}
        (mined,) = [each for each in devnet.tip.block.transactions if each.txid() == txid]
        assert await alice.balance() == sum(each.satoshis for each in mined.outputs) - 20_000


@pytest.mark.parametrize(
    "lie",
    [Lie.FORGOTTEN, Lie.OTHER_TXID, Lie.REJECTED, Lie.DOUBLE_SPEND, Lie.INVENTED_RIVAL],
    ids=lambda lie: lie.value,
)
async def test_a_payment_survives_what_services_say_of_it(tmp_path: Path, server: DevnetServer, lie: Lie) -> None:
    devnet = server.devnet
    settings = settings_for(tmp_path, "alice", server)
    async with opened(ALICE, settings) as alice:
        await fund(alice, devnet, 50_000, mined=True)
        devnet.faults.add(Fault(kind=FaultKind.LIE, lie=lie))
        options = {"acceptDelayedBroadcast": False, "randomizeOutputs": False}
        made = await alice.create_action({"description": "past a liar", "outputs": [pay(20_000)], "options": options})
        assert made.txid is not None
        devnet.faults.clear()
        for hours in (1, 24, 48, 72):
            await monitor_once(settings, later=timedelta(hours=hours))
            assert "failed" not in await states(alice), "a word is no evidence"
            devnet.mine()
        await monitor_once(settings, later=timedelta(hours=96))
        assert devnet.merkle_path(made.txid) is not None, "what nobody had was sent again"
        assert await states(alice) == {"completed"}
        assert await alice.balance() == 29_999
