"""Transactions the wallet makes, judged by @bsv/sdk (Transaction.verify, Beef.verify, Spend) and bsv-sdk (bytes)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29
from support.peers import Peer
from support.wallet_rig import WalletRig, pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SECRET_LOCK = "a8202bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b87"
SECRET_UNLOCK = "06" + b"secret".hex()


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("actions") as peer:
        yield peer


@pytest.fixture(scope="module")
def python() -> Iterator[Peer]:
    with Peer.python("core") as peer:
        yield peer


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WalletRig]:
    rig = await WalletRig.open(tmp_path)
    yield rig
    await rig.close()


def judged(node: Peer, python: Peer, rig: WalletRig, tx: bytes, txid: str) -> None:
    """Every peer that can tell says it is good, and reads the bytes we wrote."""
    beef = Beef.from_bytes(tx)
    transaction = beef.transaction_with_sources(txid)
    assert transaction is not None
    roots = {str(height): header.merkle_root for height, (header, _) in enumerate(rig.network.chain)}
    verdict = node.call("verify", beef=tx.hex(), roots=roots, height=rig.network.height)
    assert verdict == {"verified": True, "txid": txid, "fee": transaction.fee(), "raw": transaction.to_hex()}
    assert node.call("beef", beef=tx.hex(), roots=roots, height=rig.network.height) == {
        "verified": True,
        "atomic": txid,
    }
    assert all(node.call("spends", beef=tx.hex()))
    assert python.call("transaction", hex=transaction.to_hex())["hex"] == transaction.to_hex()


async def test_payments_with_change_upon_change(node: Peer, python: Peer, rig: WalletRig) -> None:
    chance = random.Random(1)
    await rig.fund(40_000, 30_000, 500, 500)
    for _ in range(12):
        made = await rig.pay(*(chance.randrange(1, 900) for _ in range(chance.randrange(1, 5))))
        judged(node, python, rig, made.tx, made.txid)


async def test_a_token_spent_with_a_given_script_and_one_signed_later(node: Peer, python: Peer, rig: WalletRig) -> None:
    await rig.fund(20_000)
    for sign_later in (False, True):
        source = TransactionInput(OutPoint("cc" * 32, int(sign_later)), Script(b"\x51"))
        token = Transaction(1, [source], [TransactionOutput(300, Script.from_hex(SECRET_LOCK))], 0)
        beef = Beef()
        beef.merge_path(await rig.mined(token))
        beef.merge_transaction(token)
        unlocking: dict[str, Any] = {"unlockingScriptLength": 7} if sign_later else {"unlockingScript": SECRET_UNLOCK}
        made = await rig.wallet.create_action(
            {
                "description": "spend a token",
                "inputBEEF": beef.to_bytes(),
                "inputs": [{"outpoint": f"{token.txid()}.0", "inputDescription": "a token", **unlocking}],
                "outputs": [pay(1000), pay(0, "006a0568656c6c6f")],
            }
        )
        if sign_later:
            reference = made.signable_transaction.reference
            made = await rig.wallet.sign_action(
                {"reference": reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}}
            )
        judged(node, python, rig, made.tx, made.txid)


async def test_a_held_chain_and_a_payment_between_identities(node: Peer, python: Peer, rig: WalletRig) -> None:
    bob = await WalletRig.open(None, network=rig.network, root=PrivateKey.from_int(8), database=rig.database)
    await rig.fund(50_000)
    first = await rig.pay(1000, noSend=True)
    lock = brc29.lock(KeyDeriver(rig.root), bob.wallet.identity_key, "cHJl", "c3Vm").to_hex()
    second = await rig.wallet.create_action(
        {
            "description": "for bob",
            "outputs": [pay(2000, lock)],
            "options": {"noSend": True, "noSendChange": list(first.no_send_change), "randomizeOutputs": False},
        }
    )
    for made in (first, second):
        judged(node, python, rig, made.tx, made.txid)
    remittance = {
        "derivationPrefix": "cHJl",
        "derivationSuffix": "c3Vm",
        "senderIdentityKey": rig.wallet.identity_key,
    }
    await bob.wallet.internalize_action(
        {
            "tx": second.tx,
            "description": "from alice",
            "outputs": [{"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}],
        }
    )
    made = await bob.pay(700)
    judged(node, python, rig, made.tx, made.txid)
