"""processAction in storage: only the transaction that was asked for is taken, and it is taken whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.core.errors import InsufficientFunds, InvalidOperation, InvalidParameter
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.core.wallet import validate_list_outputs
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.process_action import ProcessRequest, process_action
from support.storage_rig import BOB, Rig, p2pkh, pay, process_args, sign

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.core.storage import AuthId, StorageCreateActionResult
    from sdk.service.database import Unit


async def test_r19_what_is_to_be_sent_starts_where_the_sender_looks(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice)
    transaction, results = await everywhere.process(alice, created)
    assert results.send_with_results is not None
    assert [(each.txid, each.status) for each in results.send_with_results] == [(transaction.txid(), "sending")]
    rows = await everywhere.dump()
    (request,) = rows["proven_tx_reqs"]
    assert "unsent" in request
    assert transaction.to_bytes() in [bytes(each) for each in request if isinstance(each, bytes | memoryview)]
    assert [row for row in rows["transactions"] if "sending" in row and transaction.txid() in row]
    outputs = await everywhere.provider.list_outputs(alice, validate_list_outputs({"basket": "default"}))
    assert outputs.total_outputs == len(created.outputs) - 1


async def test_a_repeated_call_after_a_lost_answer_changes_nothing(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice)
    transaction, first = await everywhere.process(alice, created)
    before = await everywhere.dump()
    everywhere.clock.advance(seconds=5)
    again = await everywhere.provider.process_action(alice, process_args(created, transaction))
    assert again == first
    assert await everywhere.dump() == before


async def test_no_send_is_held_and_sent_later_as_one_batch(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000, 10_000])
    held = []
    for _ in range(2):
        created = await everywhere.create(alice, options={"noSend": True}, outputs=[pay(1_000)])
        transaction, results = await everywhere.process(alice, created, is_no_send=True)
        assert results.send_with_results is None
        held.append(transaction.txid())
    flags = {"is_new_tx": False, "is_send_with": True, "send_with": tuple(held)}
    args = process_args(created, transaction, **flags, reference=None, txid=None, raw_tx=None)
    results = await everywhere.provider.process_action(alice, args)
    assert results.send_with_results is not None
    assert [(each.txid, each.status) for each in results.send_with_results] == [(each, "sending") for each in held]
    rows = await everywhere.dump()
    assert len({row for each in rows["proven_tx_reqs"] for row in each if isinstance(row, str) and len(row) == 24}) == 1
    assert sum("sending" in row for row in rows["transactions"]) == 2


async def test_a_new_action_and_held_ones_go_together(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000, 10_000])
    first = await rig.create(alice, options={"noSend": True}, outputs=[pay(1_000)])
    held, _ = await rig.process(alice, first, is_no_send=True)
    created = await rig.create(alice)
    new, results = await rig.process(alice, created, is_no_send=True, is_send_with=True, send_with=(held.txid(),))
    assert results.send_with_results is not None
    assert {each.txid: each.status for each in results.send_with_results} == {
        held.txid(): "sending",
        new.txid(): "sending",
    }


async def test_r65_nobody_sends_or_signs_what_is_not_theirs(everywhere: Rig) -> None:
    alice, bob = await everywhere.user(), await everywhere.user(BOB)
    await everywhere.mine(alice, [10_000, 10_000])
    created = await everywhere.create(alice, options={"noSend": True}, outputs=[pay(1_000)])
    before = await everywhere.dump()
    with pytest.raises(InvalidParameter) as refused:
        await everywhere.provider.process_action(bob, process_args(created, sign(created)))
    assert refused.value.parameter == "reference"
    assert await everywhere.dump() == before
    held, _ = await everywhere.process(alice, created, is_no_send=True)
    flags = {"is_new_tx": False, "is_send_with": True, "send_with": (held.txid(),)}
    args = process_args(created, held, **flags, reference=None, txid=None, raw_tx=None)
    before = await everywhere.dump()
    with pytest.raises(InvalidParameter) as refused:
        await everywhere.provider.process_action(bob, args)
    assert refused.value.parameter == "sendWith[0]"
    assert await everywhere.dump() == before


async def test_immediate_sending_needs_somewhere_to_send(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000])
    created = await rig.create(alice)
    before = await rig.dump()
    with pytest.raises(InvalidOperation):
        await rig.process(alice, created, is_delayed=False)
    assert await rig.dump() == before


async def test_bytes_that_are_no_transaction_or_another_are_refused(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000])
    created = await rig.create(alice)
    good = sign(created)
    before = await rig.dump()
    for field, flags in (
        ("rawTx", {"raw_tx": good.to_bytes()[:-1]}),
        ("rawTx", {"raw_tx": None}),
        ("txid", {"txid": "00" * 32}),
        ("txid", {"txid": None}),
        ("reference", {"reference": None}),
        ("reference", {"reference": "bm9ib2R5"}),
    ):
        with pytest.raises(InvalidParameter) as refused:
            await rig.provider.process_action(alice, process_args(created, good, **flags))
        assert refused.value.parameter == field
    assert await rig.dump() == before


def rebuilt(transaction: Transaction, **parts: object) -> Transaction:
    members = {
        "version": transaction.version,
        "inputs": list(transaction.inputs),
        "outputs": list(transaction.outputs),
        "lock_time": transaction.lock_time,
        **parts,
    }
    return Transaction(**members)  # type: ignore[arg-type]


@st.composite
def tampered(draw: st.DrawFn, transaction: Transaction, created: StorageCreateActionResult) -> Transaction:
    """The transaction with one thing different that its owner did not ask for."""
    inputs, outputs = list(transaction.inputs), list(transaction.outputs)
    at, into = draw(st.integers(0, len(inputs) - 1)), draw(st.integers(0, len(outputs) - 1))
    source, target = inputs[at], outputs[into]
    kind = draw(
        st.sampled_from(["amount", "script", "more", "fewer", "swap", "spend", "extra", "drop", "twice", "frame"])
    )
    if kind == "amount":
        outputs[into] = TransactionOutput(
            target.satoshis + draw(st.sampled_from([-1, 1, 10_000])), target.locking_script
        )
    elif kind == "script":
        other = b"\x51" if created.outputs[into].purpose == "change" else target.locking_script.to_bytes() + b"\x61"
        outputs[into] = TransactionOutput(target.satoshis, Script(other))
    elif kind == "more":
        outputs.append(TransactionOutput(draw(st.integers(0, 500)), p2pkh("thief")))
    elif kind == "fewer":
        outputs.pop(into)
    elif kind == "swap":
        place = next(i for i, each in enumerate(outputs) if each.satoshis != target.satoshis)
        outputs[into], outputs[place] = outputs[place], outputs[into]
    elif kind == "spend":
        inputs[at] = TransactionInput(
            OutPoint(draw(st.sampled_from(["cd" * 32, source.outpoint.txid])), 77), source.unlocking_script
        )
    elif kind == "extra":
        inputs.append(TransactionInput(OutPoint("cd" * 32, 0), source.unlocking_script))
    elif kind == "drop":
        inputs.pop(at)
    elif kind == "twice":
        inputs[at] = inputs[at - 1]
    else:
        return rebuilt(transaction, lock_time=transaction.lock_time + 1)
    return rebuilt(transaction, inputs=inputs, outputs=outputs)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_r79_nothing_but_what_was_asked_for_is_taken(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    asyncio.run(_tamper(tmp_path_factory.mktemp("tamper"), data))


async def _tamper(folder: Path, data: st.DataObject) -> None:
    async with await Database.open(f"sqlite:///{folder}/wallet.db") as database:
        await upgrade(database, [MIGRATIONS])
        rig = Rig(database)
        alice = await rig.user()
        await rig.mine(alice, [1_000, 1_000, 1_000])
        created = await rig.create(alice, outputs=[pay(1_500), pay(700, p2pkh("payee").to_hex())])
        good = sign(created)
        bad = data.draw(tampered(good, created))
        before = await rig.dump()
        with pytest.raises(InvalidParameter) as refused:
            await rig.provider.process_action(alice, process_args(created, bad))
        assert refused.value.parameter == "rawTx"
        assert await rig.dump() == before
        await rig.provider.process_action(alice, process_args(created, good))


async def test_r79_named_inputs_keep_place_and_size(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000, 10_000])
    first = await rig.act(alice, outputs=[pay(300, p2pkh("a").to_hex()), pay(400, p2pkh("b").to_hex())])
    named = [i for i, each in enumerate(first.outputs) if each.satoshis in (300, 400)]
    inputs = [
        {"outpoint": f"{first.txid()}.{vout}", "inputDescription": "spend it", "unlockingScriptLength": 50}
        for vout in named
    ]
    created = await rig.create(alice, inputs=inputs, outputs=[pay(100)])
    good = sign(created)
    swapped = rebuilt(good, inputs=[good.inputs[1], good.inputs[0], *good.inputs[2:]])
    too_long = sign(created, {0: b"\x00" * 52})
    for bad in (swapped, too_long):
        with pytest.raises(InvalidParameter) as refused:
            await rig.provider.process_action(alice, process_args(created, bad))
        assert refused.value.parameter == "rawTx"
    await rig.provider.process_action(alice, process_args(created, good))


async def test_long_scripts_stay_in_their_transaction(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    script = "006a" + "4d0008" + "ab" * 2048
    await everywhere.act(alice, outputs=[pay(7, script, basket="long"), pay(8, "00" * 300, basket="long")])
    rows = await everywhere.dump()
    assert not any(isinstance(each, bytes) and len(each) == 2053 for row in rows["outputs"] for each in row)
    args = validate_list_outputs({"basket": "long", "include": "locking scripts"})
    listed = await everywhere.provider.list_outputs(alice, args)
    assert {each.satoshis: each.locking_script for each in listed.outputs} == {7: script, 8: "00" * 300}


async def test_concurrent_signatures_of_one_action_are_taken_once(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice)
    other = Rig(everywhere.database, seed=9)
    signed = [sign(created, {0: bytes([n]) * 107}) for n in range(4)]
    outcomes = await asyncio.gather(
        *(other.provider.process_action(alice, process_args(created, each)) for each in signed), return_exceptions=True
    )
    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert {type(each) for each in outcomes if isinstance(each, Exception)} == {InvalidOperation}
    assert len((await everywhere.dump())["proven_tx_reqs"]) == 1


async def test_the_number_of_statements_does_not_depend_on_the_size(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000] * 50)

    async def count(payments: int) -> int:
        created = await rig.create(alice, outputs=[pay(10 + i) for i in range(payments)])
        transaction = sign(created)

        def counted(unit: Unit) -> int:
            request = ProcessRequest(
                alice.user_id or 0, created.reference, transaction, False, True, (), "", 1024, rig.clock()
            )
            process_action(unit, request)
            return unit.statements

        return await rig.database.write(counted)

    assert await count(1) == await count(80) == 10


async def test_coins_of_a_taken_action_stay_spent(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [3_000])
    await rig.act(alice, outputs=[pay(2_990)])
    with pytest.raises(InsufficientFunds):
        await rig.create(alice, outputs=[pay(100)])
