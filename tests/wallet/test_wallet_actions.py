"""The wallet's actions over real storage: every transaction it makes is run, and proves itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import InsufficientFunds, InvalidOperation, InvalidParameter, NetworkChainMismatch, ReviewActions
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.actions.errors import NoBackground, StorageAnswerError
from sdk.wallet.keys import PrivateKey
from sdk.wallet.wallet import Wallet
from support.storage_rig import dump
from support.wallet_rig import WalletRig, pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WalletRig]:
    rig = await WalletRig.open(tmp_path)
    yield rig
    await rig.close()


def inputs_of(result: Any) -> tuple[TransactionInput, ...]:
    transaction = Beef.from_bytes(result.tx).transaction(result.txid)
    assert transaction is not None
    return transaction.inputs


async def test_a_payment_is_signed_proves_itself_and_conserves_satoshis(rig: WalletRig) -> None:
    await rig.fund(50_000, 20_000)
    result = await rig.pay(12_345, 678)
    beef = Beef.from_bytes(result.tx)
    assert beef.atomic_txid == result.txid
    await rig.check(beef, result.txid)
    transaction = beef.transaction_with_sources(result.txid)
    assert transaction is not None
    paid = sorted(
        each.satoshis for each in transaction.outputs if each.locking_script.to_hex() == pay(0)["lockingScript"]
    )
    assert paid == [678, 12_345]
    assert await rig.wallet.balance() == 70_000 - 12_345 - 678 - transaction.fee()
    assert 0 < transaction.fee() <= 2 + transaction.size() // 1000
    assert [each.status for each in result.send_with_results] == ["sending"]


async def test_change_of_change_is_spendable_at_once_and_stays_provable(rig: WalletRig) -> None:
    await rig.fund(100_000)
    for amount in (1000, 2000, 3000, 4000):
        result = await rig.pay(amount)
        await rig.check(Beef.from_bytes(result.tx), result.txid)


async def test_an_immediate_send_reaches_the_network_and_is_told(rig: WalletRig) -> None:
    await rig.fund(50_000)
    result = await rig.pay(1000, acceptDelayedBroadcast=False)
    assert [each.status for each in result.send_with_results] == ["unproven"]
    assert result.txid in rig.network.mempool


async def test_return_txid_only_gives_no_transaction(rig: WalletRig) -> None:
    await rig.fund(50_000)
    result = await rig.pay(1000, returnTXIDOnly=True)
    assert result.tx is None
    assert len(result.txid) == 64


async def test_r37_sequence_and_order_are_the_callers(rig: WalletRig) -> None:
    await rig.fund(50_000)
    outputs = [pay(amount) for amount in (5, 4, 3, 2, 1)]
    result = await rig.wallet.create_action(
        {
            "description": "ordered",
            "outputs": outputs,
            "options": {"randomizeOutputs": False},
            "lockTime": 0,
            "version": 2,
        }
    )
    transaction = Beef.from_bytes(result.tx).transaction(result.txid)
    assert transaction is not None
    assert [each.satoshis for each in transaction.outputs[:5]] == [5, 4, 3, 2, 1]
    assert transaction.version == 2


async def test_no_send_is_held_and_its_change_can_be_used_before_it_is_sent(rig: WalletRig) -> None:
    await rig.fund(50_000)
    first = await rig.pay(1000, noSend=True)
    assert first.send_with_results is None
    assert first.no_send_change
    assert rig.network.posts == []
    second = await rig.pay(1500, noSend=True, noSendChange=list(first.no_send_change))
    assert first.txid in {each.outpoint.txid for each in inputs_of(second)}
    sent = await rig.wallet.create_action(
        {
            "description": "send them",
            "options": {"sendWith": [first.txid, second.txid], "acceptDelayedBroadcast": False},
        }
    )
    assert {each.txid: each.status for each in sent.send_with_results} == {
        first.txid: "unproven",
        second.txid: "unproven",
    }
    assert sent.txid is None


async def test_what_cannot_be_paid_is_refused_and_changes_nothing(rig: WalletRig) -> None:
    await rig.fund(1000)
    before = await rig.database.read(dump)
    with pytest.raises(InsufficientFunds) as caught:
        await rig.pay(5000)
    assert caught.value.total_satoshis_needed > 5000
    assert await rig.database.read(dump) == before


@pytest.mark.parametrize(
    ("args", "parameter"),
    [
        ({"outputs": [pay(-1)]}, "outputs[0].satoshis"),
        ({"outputs": [pay(1), pay(2, "xyz")]}, "outputs[1].lockingScript"),
        ({"inputs": [{"outpoint": "aa" * 32 + ".0", "inputDescription": "unknown", "unlockingScript": "51"}]}, None),
    ],
)
async def test_bad_arguments_change_nothing(rig: WalletRig, args: dict[str, Any], parameter: str | None) -> None:
    await rig.fund(10_000)
    before = await rig.database.read(dump)
    with pytest.raises(InvalidParameter) as caught:
        await rig.wallet.create_action({"description": "bad action", **args})
    assert parameter is None or caught.value.parameter == parameter
    assert await rig.database.read(dump) == before


async def test_r23_without_a_monitor_a_delayed_send_is_refused_but_others_are_not(tmp_path: Path) -> None:
    rig = await WalletRig.open(tmp_path, sends_delayed=False)
    await rig.fund(50_000)
    before = await rig.database.read(dump)
    with pytest.raises(NoBackground, match="monitor"):
        await rig.pay(1000)
    with pytest.raises(NoBackground):
        await rig.wallet.create_action({"description": "send them", "options": {"sendWith": ["aa" * 32]}})
    assert await rig.database.read(dump) == before
    assert (await rig.pay(1000, acceptDelayedBroadcast=False)).txid
    assert (await rig.pay(1000, noSend=True)).txid
    await rig.close()


async def test_a_wallet_refuses_the_storage_of_another_chain(rig: WalletRig) -> None:
    with pytest.raises(NetworkChainMismatch, match="mock"):
        await Wallet.open(rig.root, rig.storage, chain="main")
    with pytest.raises(InvalidParameter, match="nowhere"):
        await Wallet.open(rig.root, rig.storage, chain="nowhere")


# an output of somebody else's making, unlocked by its owner

OWNER = PrivateKey.from_int(99)
SECRET_LOCK = "a820" + __import__("hashlib").sha256(b"secret").hexdigest() + "87"
SECRET_UNLOCK = "06" + b"secret".hex()


async def token(rig: WalletRig, satoshis: int = 3000, script: str = SECRET_LOCK) -> tuple[str, bytes]:
    """A mined output that whoever knows the secret may spend; its outpoint and BEEF."""
    source = TransactionInput(OutPoint("cc" * 32, 1), Script(b"\x51"))
    transaction = Transaction(1, [source], [TransactionOutput(satoshis, Script.from_hex(script))], 0)
    path = await rig.mined(transaction)
    beef = Beef()
    beef.merge_path(path)
    beef.merge_transaction(transaction)
    return f"{transaction.txid()}.0", beef.to_bytes()


def spend(outpoint: str, **more: Any) -> dict[str, Any]:
    return {"outpoint": outpoint, "inputDescription": "a token", **more}


async def test_a_given_unlocking_script_is_used_and_run(rig: WalletRig) -> None:
    outpoint, beef = await token(rig)
    result = await rig.wallet.create_action(
        {
            "description": "spend a token",
            "inputBEEF": beef,
            "inputs": [spend(outpoint, unlockingScript=SECRET_UNLOCK, sequenceNumber=0)],
            "outputs": [pay(2000)],
        }
    )
    proof = Beef.from_bytes(result.tx)
    await rig.check(proof, result.txid)
    transaction = proof.transaction(result.txid)
    assert transaction is not None
    assert transaction.inputs[0].sequence == 0
    assert str(transaction.inputs[0].outpoint) == outpoint


async def test_r79_a_script_that_does_not_unlock_is_named_and_the_coins_are_released(rig: WalletRig) -> None:
    await rig.fund(10_000)
    outpoint, beef = await token(rig, 100)
    with pytest.raises(InvalidParameter) as caught:
        await rig.wallet.create_action(
            {
                "description": "spend a token",
                "inputBEEF": beef,
                "inputs": [spend(outpoint, unlockingScript="06" + b"wrong!".hex())],
                "outputs": [pay(2000)],
            }
        )
    assert caught.value.parameter == "inputs[0].unlockingScript"
    assert await rig.wallet.balance() == 10_000
    assert rig.network.posts == []


async def signable(rig: WalletRig, **options: Any) -> Any:
    await rig.fund(10_000)
    outpoint, beef = await token(rig, 100)
    return await rig.wallet.create_action(
        {
            "description": "sign it later",
            "inputBEEF": beef,
            "inputs": [spend(outpoint, unlockingScriptLength=len(SECRET_UNLOCK) // 2)],
            "outputs": [pay(2000)],
            "options": options,
        }
    )


async def test_r78_what_is_to_be_signed_is_atomic_beef(rig: WalletRig) -> None:
    action = (await signable(rig)).signable_transaction
    beef = Beef.from_bytes(action.tx)
    assert beef.atomic_txid is not None
    unsigned = beef.transaction_with_sources(beef.atomic_txid)
    assert unsigned is not None
    assert all(each.source_output is not None for each in unsigned.inputs)
    signed = await rig.wallet.sign_action(
        {"reference": action.reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}}
    )
    await rig.check(Beef.from_bytes(signed.tx), signed.txid)


async def test_r78_a_reference_survives_a_restart(rig: WalletRig) -> None:
    reference = (await signable(rig)).signable_transaction.reference
    after = await rig.reopened()
    signed = await after.wallet.sign_action(
        {"reference": reference, "spends": {"0": {"unlockingScript": SECRET_UNLOCK}}}
    )
    await rig.check(Beef.from_bytes(signed.tx), signed.txid)


async def test_r77_sign_action_keeps_what_create_action_was_told(rig: WalletRig) -> None:
    reference = (await signable(rig, noSend=True, returnTXIDOnly=True)).signable_transaction.reference
    signed = await (await rig.reopened()).wallet.sign_action(
        {"reference": reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}}
    )
    assert signed.tx is None
    assert signed.send_with_results is None
    assert signed.no_send_change
    assert rig.network.posts == []


async def test_r79_sign_action_refuses_a_wrong_script_and_still_waits(rig: WalletRig) -> None:
    reference = (await signable(rig)).signable_transaction.reference
    cases = [
        ({0: {"unlockingScript": "06" + b"wrong!".hex()}}, "spends[0].unlockingScript"),
        ({0: {"unlockingScript": SECRET_UNLOCK + "00"}}, "spends[0].unlockingScript"),
        ({1: {"unlockingScript": SECRET_UNLOCK}}, "spends[1]"),
        ({}, "spends"),
    ]
    for spends, parameter in cases:
        with pytest.raises(InvalidParameter) as caught:
            await rig.wallet.sign_action({"reference": reference, "spends": spends})
        assert caught.value.parameter == parameter
    assert (
        await rig.wallet.sign_action({"reference": reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}})
    ).txid
    with pytest.raises(InvalidParameter) as caught:
        await rig.wallet.sign_action({"reference": reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}})
    assert caught.value.parameter == "reference"


async def test_abort_gives_the_coins_back_and_the_reference_is_gone(rig: WalletRig) -> None:
    reference = (await signable(rig)).signable_transaction.reference
    assert await rig.wallet.balance() < 10_000
    assert (await rig.wallet.abort_action({"reference": reference})).aborted
    assert await rig.wallet.balance() == 10_000
    with pytest.raises((InvalidParameter, InvalidOperation), match="inprocess, outgoing action"):
        await rig.wallet.abort_action({"reference": reference})
    for call, args in (
        (rig.wallet.sign_action, {"reference": reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}}),
        (rig.wallet.abort_action, {"reference": "dW5rbm93bi1yZWZlcmVuY2U="}),
    ):
        with pytest.raises(InvalidParameter) as caught:
            await call(args)
        assert caught.value.parameter == "reference"


async def test_another_users_reference_is_unknown(rig: WalletRig) -> None:
    reference = (await signable(rig)).signable_transaction.reference
    stranger = await WalletRig.open(
        None,
        network=rig.network,
        root=PrivateKey.from_int(8),
        database=rig.database,
    )
    for call, args in (
        (stranger.wallet.abort_action, {"reference": reference}),
        (stranger.wallet.sign_action, {"reference": reference, "spends": {0: {"unlockingScript": SECRET_UNLOCK}}}),
    ):
        with pytest.raises(InvalidParameter) as caught:
            await call(args)
        assert caught.value.parameter == "reference"


async def test_a_refused_immediate_send_is_for_review(rig: WalletRig) -> None:
    from sdk.wallet.services.ports import Classification
    from support.fake_network import answer

    await rig.fund(50_000)
    rig.network.scripted.append(lambda _beef, txids: [answer(each, Classification.INVALID) for each in txids])
    with pytest.raises(ReviewActions) as caught:
        await rig.pay(1000, acceptDelayedBroadcast=False)
    assert caught.value.send_with_results[0]["status"] == "failed"
    assert caught.value.review_action_results[0]["status"] == "invalidTx"
    assert caught.value.txid
    assert Beef.from_bytes(caught.value.tx or b"").atomic_txid == caught.value.txid


async def test_an_unreachable_network_is_for_review_too_and_keeps_the_coins(rig: WalletRig) -> None:
    await rig.fund(50_000)
    rig.network.down.add("post")
    with pytest.raises(ReviewActions) as caught:
        await rig.pay(1000, acceptDelayedBroadcast=False)
    assert caught.value.send_with_results[0]["status"] == "sending"
    assert caught.value.review_action_results[0]["status"] == "serviceError"


async def test_many_at_once_never_share_a_coin(rig: WalletRig) -> None:
    await rig.fund(*[3000] * 40)
    results = await asyncio.gather(*(rig.pay(1000) for _ in range(32)))
    spent = [str(each.outpoint) for result in results for each in inputs_of(result)]
    assert len(spent) == len(set(spent))
    for result in results:
        await rig.check(Beef.from_bytes(result.tx), result.txid)


async def test_lists_show_what_was_done(rig: WalletRig) -> None:
    await rig.fund(50_000)
    result = await rig.wallet.create_action(
        {
            "description": "with a basket",
            "labels": ["Rent"],
            "outputs": [pay(1000, basket="Coins", tags=["May"], customInstructions="keep")],
        }
    )
    outputs = await rig.wallet.list_outputs(
        {"basket": "coins", "include": "entire transactions", "includeTags": True, "includeCustomInstructions": True}
    )
    assert outputs.total_outputs == 1
    assert outputs.outputs[0].tags == ("may",)
    assert outputs.outputs[0].custom_instructions == "keep"
    assert Beef.from_bytes(outputs.beef or b"").transaction(result.txid) is not None
    actions = await rig.wallet.list_actions({"labels": ["rent"], "includeOutputs": True, "includeLabels": True})
    assert actions.total_actions == 1
    (action,) = actions.actions
    assert (action.txid, action.labels, action.is_outgoing) == (result.txid, ("rent",), True)
    assert all(each.custom_instructions is None for each in action.outputs or ())
    outpoint = outputs.outputs[0].outpoint
    assert (await rig.wallet.relinquish_output({"basket": "coins", "output": outpoint})).relinquished
    assert (await rig.wallet.list_outputs({"basket": "coins"})).total_outputs == 0
    with pytest.raises(InvalidParameter):
        await rig.wallet.relinquish_output({"basket": "coins", "output": outpoint})


async def test_the_state_of_the_world(rig: WalletRig) -> None:
    wallet = rig.wallet
    assert (await wallet.get_network()).network == "testnet"
    assert (await wallet.get_version()).version == "wallet-brc100-1.0.0"
    assert (await wallet.is_authenticated()).authenticated
    assert (await wallet.wait_for_authentication({})).authenticated
    height = (await wallet.get_height({})).height
    header = (await wallet.get_header_for_height({"height": height})).header
    assert header == (await rig.network.get_header_for_height(height)).to_hex()
    with pytest.raises(InvalidParameter) as caught:
        await wallet.get_header_for_height({"height": height + 1})
    assert caught.value.parameter == "height"
    with pytest.raises(InvalidParameter) as caught:
        await wallet.get_height({}, "not..a.domain")
    assert caught.value.parameter == "originator"


async def test_key_operations_and_privileged_ones(rig: WalletRig) -> None:
    assert (await rig.wallet.get_public_key({"identityKey": True})).public_key == rig.wallet.identity_key
    key = {"protocolID": [2, "test keys"], "keyID": "1", "counterparty": "self"}
    secret = (await rig.wallet.encrypt({**key, "plaintext": [1, 2, 3]})).ciphertext
    assert (await rig.wallet.decrypt({**key, "ciphertext": secret})).plaintext == b"\x01\x02\x03"
    with pytest.raises(InvalidOperation, match="privileged key manager"):
        await rig.wallet.get_public_key({"identityKey": True, "privileged": True})


async def test_r79_a_storage_that_answers_with_something_else_gets_no_signature(rig: WalletRig) -> None:
    """A stranger's server swaps the payee; the wallet refuses, and gives the coins back."""
    await rig.fund(50_000)
    honest = rig.storage.create_action

    async def swapping(auth: Any, args: Any) -> Any:
        answer = await honest(auth, args)
        outputs = tuple(
            each.model_copy(update={"locking_script": "51"}) if each.provided_by == "you" else each
            for each in answer.outputs
        )
        return answer.model_copy(update={"outputs": outputs})

    rig.storage.create_action = swapping  # type: ignore[method-assign]
    with pytest.raises(StorageAnswerError, match="outputs"):
        await rig.pay(1000)
    assert await rig.wallet.balance() == 50_000


async def test_r27_a_caller_that_gives_up_while_storage_answers_leaves_no_coin_reserved(rig: WalletRig) -> None:
    await rig.fund(50_000)
    honest = rig.storage.create_action
    answered = asyncio.Event()

    async def slow(auth: Any, args: Any) -> Any:
        answer = await honest(auth, args)
        answered.set()
        return answer.model_copy(update={"version": 9})

    rig.storage.create_action = slow  # type: ignore[method-assign]
    task = asyncio.create_task(rig.pay(1000))
    await answered.wait()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, StorageAnswerError)):
        await task
    assert await rig.wallet.balance() == 50_000
