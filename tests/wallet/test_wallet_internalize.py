"""internalizeAction: real receipts are credited once, forged ones change nothing (R2, R41-R44; CU-6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import InvalidParameter, SdkError, ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29
from support.storage_rig import dump
from support.wallet_rig import WalletRig, pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SENDER = KeyDeriver(PrivateKey.from_int(4242))
PREFIX, SUFFIX = "cHJlZml4cHJlZml4cHI=", "c3VmZml4c3VmZml4c3U="


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WalletRig]:
    rig = await WalletRig.open(tmp_path)
    yield rig
    await rig.close()


def payment_to(rig: WalletRig, satoshis: int = 5000, seed: int = 1, unlocking: str = "51") -> Transaction:
    lock = brc29.lock(SENDER, rig.wallet.identity_key, PREFIX, SUFFIX)
    source = TransactionInput(OutPoint(f"{seed:064x}", 0), Script.from_hex(unlocking))
    return Transaction(1, [source], [TransactionOutput(satoshis, lock), TransactionOutput(777, Script(b"\x51"))], 0)


def remittance(**more: Any) -> dict[str, Any]:
    payment = {"derivationPrefix": PREFIX, "derivationSuffix": SUFFIX, "senderIdentityKey": SENDER.identity_key}
    return {"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": {**payment, **more}}


def insertion(index: int = 1, basket: str = "coins") -> dict[str, Any]:
    return {
        "outputIndex": index,
        "protocol": "basket insertion",
        "insertionRemittance": {"basket": basket, "tags": ["gift"], "customInstructions": "keep"},
    }


def receipt(tx: bytes, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"tx": tx, "description": "a receipt", "labels": ["in"], "outputs": list(outputs) or [remittance()]}


def atomic(transaction: Transaction, *paths: MerklePath, parents: tuple[Transaction, ...] = ()) -> bytes:
    beef = Beef()
    for path in paths:
        beef.merge_path(path)
    for parent in parents:
        beef.merge_transaction(parent)
    beef.merge_transaction(transaction)
    return beef.to_atomic(transaction.txid())


async def test_a_mined_payment_is_credited_and_can_be_spent(rig: WalletRig) -> None:
    transaction = payment_to(rig)
    tx = atomic(transaction, await rig.mined(transaction))
    result = await rig.wallet.internalize_action(receipt(tx, remittance(), insertion()))
    assert (result.accepted, result.is_merge, result.txid, result.satoshis) == (True, False, transaction.txid(), 5000)
    assert await rig.wallet.balance() == 5000
    (output,) = (await rig.wallet.list_outputs({"basket": "coins", "includeTags": True})).outputs
    assert (output.satoshis, output.tags) == (777, ("gift",))
    spent = await rig.pay(1000)
    await rig.check(Beef.from_bytes(spent.tx), spent.txid)
    (action, *_) = (await rig.wallet.list_actions({"labels": ["in"]})).actions
    assert (action.status, action.is_outgoing, action.satoshis) == ("completed", False, 5000)


async def test_the_same_receipt_twice_credits_once(rig: WalletRig) -> None:
    transaction = payment_to(rig)
    tx = atomic(transaction, await rig.mined(transaction))
    await rig.wallet.internalize_action(receipt(tx))
    again = await rig.wallet.internalize_action(receipt(tx))
    assert (again.is_merge, again.satoshis) == (True, 0)
    assert await rig.wallet.balance() == 5000


async def test_r43_an_unmined_payment_is_broadcast_in_band(rig: WalletRig) -> None:
    parent = Transaction(
        1, [TransactionInput(OutPoint("aa" * 32, 0), Script(b"\x51"))], [TransactionOutput(9000, Script(b"\x51"))], 0
    )
    path = await rig.mined(parent)
    lock = brc29.lock(SENDER, rig.wallet.identity_key, PREFIX, SUFFIX)
    child = Transaction(1, [TransactionInput(OutPoint(parent.txid(), 0), Script())], [TransactionOutput(5000, lock)], 0)
    result = await rig.wallet.internalize_action(receipt(atomic(child, path, parents=(parent,))))
    assert result.accepted
    assert child.txid() in rig.network.mempool
    assert await rig.wallet.balance() == 5000


async def forged_cases(rig: WalletRig) -> dict[str, tuple[bytes, list[dict[str, Any]], str]]:
    """Name: (tx, outputs, the field to be blamed)."""
    good = payment_to(rig)
    path = await rig.mined(good)
    parent = Transaction(
        1, [TransactionInput(OutPoint("bb" * 32, 0), Script(b"\x51"))], [TransactionOutput(1000, Script(b"\x51"))], 0
    )
    parent_path = await rig.mined(parent)
    lock = brc29.lock(SENDER, rig.wallet.identity_key, PREFIX, SUFFIX)

    def child(satoshis: int, unlocking: Script, vout: int = 0) -> Transaction:
        return Transaction(
            1, [TransactionInput(OutPoint(parent.txid(), vout), unlocking)], [TransactionOutput(satoshis, lock)], 0
        )

    stranger = payment_to(rig, seed=9)
    invented = MerklePath.from_block(path.block_height, ["dd" * 32, stranger.txid()], [stranger.txid()])
    ahead = MerklePath.from_block(path.block_height + 500, ["dd" * 32, stranger.txid()], [stranger.txid()])
    tx = atomic(good, path)
    plain = Beef()
    plain.merge_path(path)
    plain.merge_transaction(good)
    unnamed = b"\x01\x01\x01\x01" + b"\x07" * 32 + plain.to_bytes()
    other = b"\x01\x01\x01\x01" + bytes.fromhex(stranger.txid())[::-1] + plain.to_bytes()
    return {
        "an invented merkle path": (atomic(stranger, invented), [remittance()], "tx"),
        "a block above the tip": (atomic(stranger, ahead), [remittance()], "tx"),
        "no proof at all": (atomic(stranger), [remittance()], "tx"),
        "a missing ancestor": (atomic(child(900, Script())), [remittance()], "tx"),
        "outputs above inputs": (atomic(child(1001, Script()), parent_path, parents=(parent,)), [remittance()], "tx"),
        "a script that fails": (
            atomic(child(900, Script(b"\x51\x6a")), parent_path, parents=(parent,)), [remittance()], "tx",
        ),
        "an output that is not there": (
            atomic(child(900, Script(), vout=7), parent_path, parents=(parent,)), [remittance()], "tx",
        ),
        "plain BEEF": (plain.to_bytes(), [remittance()], "tx"),
        "a subject that is not in it": (unnamed, [remittance()], "tx"),
        "another subject": (other, [remittance()], "tx"),
        "trailing bytes": (tx + b"\x00", [remittance()], "tx"),
        "cut short": (tx[:-1], [remittance()], "tx"),
        "random bytes": (b"\x01\x02\x03\x04" * 20, [remittance()], "tx"),
        "an index out of range": (tx, [{**remittance(), "outputIndex": 2}], "outputs[0].outputIndex"),
        "another derivation": (tx, [remittance(derivationSuffix="AAAA")], "outputs[0].paymentRemittance"),
        "another sender": (
            tx, [remittance(senderIdentityKey=rig.wallet.identity_key)], "outputs[0].paymentRemittance",
        ),
        "a sender that is no point": (
            tx, [remittance(senderIdentityKey="02" + "00" * 32)], "outputs[0].paymentRemittance",
        ),
        "not the payment's output": (tx, [{**remittance(), "outputIndex": 1}], "outputs[0].paymentRemittance"),
        "insertion into default": (tx, [insertion(basket="default")], "outputs[0].insertionRemittance.basket"),
        "no outputs": (tx, [], "outputs"),
    }  # fmt: skip


async def test_r41_forged_receipts_are_refused_by_name_and_change_nothing(rig: WalletRig) -> None:
    cases = await forged_cases(rig)
    before = await rig.database.read(dump)
    for name, (tx, outputs, parameter) in cases.items():
        with pytest.raises(InvalidParameter) as caught:
            await rig.wallet.internalize_action({**receipt(tx), "outputs": outputs})
        assert caught.value.parameter == parameter, name
        assert await rig.database.read(dump) == before, name
        assert len(str(caught.value)) < 600, name


async def test_r52_without_headers_a_receipt_is_neither_credited_nor_called_forged(rig: WalletRig) -> None:
    transaction = payment_to(rig)
    tx = atomic(transaction, await rig.mined(transaction))
    before = await rig.database.read(dump)
    rig.network.down.update({"headers", "height", "tracker", "chain"})
    with pytest.raises(SdkError) as caught:
        await rig.wallet.internalize_action(receipt(tx))
    if isinstance(caught.value, InvalidParameter):
        pytest.fail("an outage is not a forgery")
    assert isinstance(caught.value, ServiceUnavailable)
    assert await rig.database.read(dump) == before


async def test_a_payment_between_two_wallets(rig: WalletRig) -> None:
    bob = await WalletRig.open(None, network=rig.network, root=PrivateKey.from_int(8), database=rig.database)
    await rig.fund(50_000)
    script = brc29.lock(KeyDeriver(rig.root), bob.wallet.identity_key, PREFIX, SUFFIX).to_hex()
    sent = await rig.wallet.create_action(
        {
            "description": "for bob",
            "outputs": [pay(7000, script)],
            "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
        }
    )
    got = await bob.wallet.internalize_action(receipt(sent.tx, remittance(senderIdentityKey=rig.wallet.identity_key)))
    assert got.satoshis == 7000
    assert await bob.wallet.balance() == 7000
    spent = await bob.pay(500)
    await bob.check(Beef.from_bytes(spent.tx), spent.txid)
