"""createAction in storage: what is chosen, what is recorded, and what a refusal leaves behind: nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import InsufficientFunds, InvalidParameter, ReviewActions, Unauthorized
from sdk.core.storage import AuthId
from sdk.core.wallet import (
    MAX_POSSIBLE_SATOSHIS,
    validate_create_action,
    validate_list_outputs,
)
from sdk.wallet.funding import FeeModel
from sdk.wallet.storage.create_action import CreateRequest, create_action
from support.storage_rig import ALICE, BOB, DATA, fee_of, p2pkh, pay, sign

if TYPE_CHECKING:
    from sdk.service.database import Unit
    from support.storage_rig import Rig


async def test_it_pays_with_exact_fee_and_change(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice, outputs=[pay(1_000), pay(500)])
    assert [each.provided_by for each in created.inputs] == ["storage"]
    assert sorted(each.satoshis for each in created.outputs if each.purpose is None) == [500, 1_000]
    assert sorted(each.vout for each in created.outputs) == list(range(len(created.outputs)))
    change = [each for each in created.outputs if each.purpose == "change"]
    assert len(change) == 8
    assert len({each.derivation_suffix for each in change}) == 8
    assert fee_of(created) == FeeModel(1).fee(sign(created).size())
    assert created.input_beef is not None
    assert Beef.from_bytes(created.input_beef).validity()


async def test_the_beef_proves_a_chain_of_unproven_actions_once(rig: Rig, alice: AuthId) -> None:
    await rig.want_change(1)
    (mined,) = await rig.mine(alice, [50_000])
    chain = [await rig.act(alice, outputs=[pay(100)]) for _ in range(5)]
    created = await rig.create(alice, outputs=[pay(40_000)])
    assert created.input_beef is not None
    beef = Beef.from_bytes(created.input_beef)
    assert beef.validity()
    assert mined in beef.txids()
    assert {each.txid() for each in chain} <= {*beef.txids()}
    assert len(beef.txids()) == len(set(beef.txids()))


async def test_r34_ancestry_stops_at_what_is_proven(rig: Rig, alice: AuthId) -> None:
    mined = await rig.mine(alice, [5_000] * 3, per_transaction=1)
    created = await rig.create(alice, outputs=[pay(12_000)])
    assert created.input_beef is not None
    beef = Beef.from_bytes(created.input_beef)
    assert sorted(beef.txids()) == sorted(mined)
    assert all(beef.path_for(txid) is not None for txid in mined)


async def test_known_txids_are_only_named(rig: Rig, alice: AuthId) -> None:
    (mined,) = await rig.mine(alice, [5_000])
    created = await rig.create(alice, options={"knownTxids": [mined]}, outputs=[pay(1_000)])
    assert created.input_beef is not None
    assert Beef.from_bytes(created.input_beef).is_txid_only(mined)
    await rig.mine(alice, [5_000])
    bare = await rig.create(alice, options={"returnTXIDOnly": True}, outputs=[pay(10)])
    assert bare.input_beef is None
    assert len(bare.inputs) == 1


async def test_insufficient_funds_leave_the_database_as_it_was(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [400, 300])
    before = await everywhere.dump()
    with pytest.raises(InsufficientFunds) as refused:
        await everywhere.create(
            alice, outputs=[pay(1_000, basket="new basket", tags=["new tag"])], labels=["new label"]
        )
    assert refused.value.total_satoshis_needed == 700 + refused.value.more_satoshis_needed
    assert await everywhere.dump() == before


async def test_r25_no_coin_is_reserved_twice(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [5_000] * 40)
    made = await asyncio.gather(*(everywhere.create(alice, outputs=[pay(1_000)]) for _ in range(40)))
    spent = Counter((each.source_txid, each.source_vout) for created in made for each in created.inputs)
    assert max(spent.values()) == 1
    assert len(spent) == 40
    with pytest.raises(InsufficientFunds):
        await everywhere.create(alice, outputs=[pay(1_000)])


ON_THE_WAY = r" 98999 satoshis are change of actions that are not with the network yet"


async def test_r31_change_of_an_unsigned_or_held_action_funds_nothing(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [100_000])
    created = await rig.create(alice, outputs=[pay(1_000)])
    with pytest.raises(InsufficientFunds, match=ON_THE_WAY):
        await rig.create(alice, outputs=[pay(1_000)])
    await rig.process(alice, created, is_no_send=True)
    with pytest.raises(InsufficientFunds, match=ON_THE_WAY):
        await rig.create(alice, outputs=[pay(1_000)])


async def test_r31_change_of_a_queued_action_funds_only_delayed_ones(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [100_000])
    await rig.act(alice)
    with pytest.raises(InsufficientFunds, match=ON_THE_WAY):
        await rig.create(alice, options={"acceptDelayedBroadcast": False}, outputs=[pay(1_000)])
    assert (await rig.create(alice)).inputs


async def test_r32_a_mined_coin_comes_before_many_smaller_unproven_ones(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [100_000] * 6)
    for _ in range(4):  # each leaves eight small outputs that wait to be sent
        await everywhere.act(alice, outputs=[pay(90_000)])
    created = await everywhere.create(alice, outputs=[pay(500)])
    assert [each.source_satoshis for each in created.inputs] == [100_000]


async def test_no_send_change_is_handed_on(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [100_000])
    first = await rig.create(alice, options={"noSend": True}, outputs=[pay(1_000)])
    transaction, _ = await rig.process(alice, first, is_no_send=True)
    vouts = first.no_send_change_output_vouts
    assert vouts
    options = {"noSend": True, "noSendChange": [f"{transaction.txid()}.{vout}" for vout in vouts]}
    second = await rig.create(alice, options=options, outputs=[pay(1_000)])
    assert {each.source_txid for each in second.inputs} == {transaction.txid()}
    used = f"{transaction.txid()}.{second.inputs[0].source_vout}"
    with pytest.raises(InvalidParameter) as refused:
        await rig.create(alice, options={"noSend": True, "noSendChange": [used]}, outputs=[pay(1)])
    assert refused.value.parameter == "options.noSendChange[0]"


async def test_everything_goes_to_the_output_that_asks_for_the_most(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [1_000] * 150)
    created = await rig.create(alice, outputs=[pay(500), pay(MAX_POSSIBLE_SATOSHIS)])
    assert len(created.inputs) == 150
    assert sorted(each.satoshis for each in created.outputs) == [500, 150_000 - 500 - fee_of(created)]
    assert fee_of(created) == FeeModel(1).fee(sign(created).size())


async def test_more_coins_than_a_statement_takes_parameters(rig: Rig, alice: AuthId) -> None:
    txids = await rig.mine(alice, [100] * 33_000)
    created = await rig.create(alice, outputs=[pay(MAX_POSSIBLE_SATOSHIS)])
    assert len(created.inputs) == 33_000
    assert {each.source_txid for each in created.inputs} == {*txids}
    assert created.input_beef is not None
    await rig.process(alice, created)
    assert await rig.provider.balance(alice) == 0


async def test_a_token_in_the_change_basket_is_never_spent_as_funding(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000])
    await rig.act(alice, outputs=[pay(5_000, basket="default")])
    with pytest.raises(InsufficientFunds):
        await rig.create(alice, outputs=[pay(8_000)])


async def token(rig: Rig, alice: AuthId, satoshis: int = 2_000) -> str:
    """A stored output that only its owner's application can unlock; its outpoint."""
    await rig.mine(alice, [50_000])
    transaction = await rig.act(alice, outputs=[pay(satoshis, p2pkh("token").to_hex(), basket="tokens")])
    (vout,) = [i for i, each in enumerate(transaction.outputs) if each.locking_script == p2pkh("token")]
    return f"{transaction.txid()}.{vout}"


def spend(outpoint: str, length: int = 107, **more: Any) -> dict[str, Any]:
    return {"outpoint": outpoint, "inputDescription": "spend a token", "unlockingScriptLength": length, **more}


async def test_a_stored_output_is_spent_by_name(everywhere: Rig) -> None:
    alice = await everywhere.user()
    outpoint = await token(everywhere, alice)
    created = await everywhere.create(alice, inputs=[spend(outpoint, sequenceNumber=7)], outputs=[pay(1_500)])
    first = created.inputs[0]
    assert (first.vin, first.source_satoshis, first.provided_by, first.sequence_number) == (
        0,
        2_000,
        "you-and-storage",
        7,
    )
    assert first.source_locking_script == p2pkh("token").to_hex()
    assert first.source_transaction is not None
    with pytest.raises(InvalidParameter) as refused:
        await everywhere.create(alice, inputs=[spend(outpoint)], outputs=[pay(1)])
    assert refused.value.parameter == "inputs[0]"
    transaction, _ = await everywhere.process(alice, created)
    before = await everywhere.dump()
    with pytest.raises(ReviewActions) as reviewed:
        await everywhere.create(alice, inputs=[spend(outpoint)], outputs=[pay(1)])
    assert reviewed.value.review_action_results[0]["competingTxs"] == [transaction.txid()]
    assert await everywhere.dump() == before


async def test_change_is_not_an_input_of_the_callers(rig: Rig, alice: AuthId) -> None:
    (mined,) = await rig.mine(alice, [5_000])
    with pytest.raises(InvalidParameter, match="unmanaged input"):
        await rig.create(alice, inputs=[spend(f"{mined}.0")], outputs=[pay(1)])


async def test_an_unknown_input_needs_its_transaction(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [5_000])
    before = await rig.dump()
    with pytest.raises(InvalidParameter) as refused:
        await rig.create(alice, inputs=[spend("ab" * 32 + ".0")], outputs=[pay(1)])
    assert refused.value.parameter == "inputBEEF"
    assert await rig.dump() == before


async def test_r37_complete_inputs_that_suffice_are_left_alone(rig: Rig, alice: AuthId) -> None:
    outpoint = await token(rig, alice)
    script = {"unlockingScript": "51" * 100}
    given = {"outpoint": outpoint, "inputDescription": "all signed", **script}
    created = await rig.create(alice, inputs=[given], outputs=[pay(1_900)])
    assert len(created.inputs) == 1
    assert [each.satoshis for each in created.outputs] == [1_900]
    assert created.inputs[0].unlocking_script_length == 100


async def test_r78_a_pending_action_outlives_the_client(everywhere: Rig) -> None:
    alice = await everywhere.user()
    outpoint = await token(everywhere, alice)
    created = await everywhere.create(alice, inputs=[spend(outpoint)], outputs=[pay(1_500)], labels=["later"])
    pending = await everywhere.provider.find_pending_action(alice, created.reference)
    assert pending is not None
    assert pending.result == created
    assert pending.args.labels == ("later",)
    assert await everywhere.provider.find_pending_action(await everywhere.user(BOB), created.reference) is None
    await everywhere.process(alice, created)
    assert await everywhere.provider.find_pending_action(alice, created.reference) is None


async def test_r65_a_claimed_user_id_must_be_that_of_the_key(rig: Rig, alice: AuthId) -> None:
    bob = await rig.user(BOB)
    with pytest.raises(Unauthorized):
        await rig.create(AuthId(identity_key=ALICE, user_id=bob.user_id))
    with pytest.raises(Unauthorized):
        await rig.create(AuthId(identity_key="02" + "77" * 32))


async def test_baskets_tags_and_labels_are_made_once(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [50_000, 50_000])
    wanted = [pay(10, basket="b one", tags=["t1", "t2"]), pay(20, basket="b two", tags=["t2"]), pay(30, basket="b one")]
    for _ in range(2):
        await everywhere.act(alice, outputs=wanted, labels=["l1", "l2"])
    rows = await everywhere.dump()
    assert len(rows["output_baskets"]) == 3
    assert len(rows["output_tags"]) == 2
    assert len(rows["output_tags_map"]) == 6
    assert len(rows["tx_labels"]) == 2
    assert len(rows["tx_labels_map"]) == 4
    listed = await everywhere.provider.list_outputs(alice, validate_list_outputs({"basket": "b one", "tags": ["t1"]}))
    assert [each.satoshis for each in listed.outputs] == [10, 10]


@pytest.mark.parametrize("randomize", [True, False])
async def test_order_of_outputs_is_kept_unless_it_may_be_shuffled(rig: Rig, alice: AuthId, randomize: bool) -> None:
    await rig.mine(alice, [1_000_000])
    amounts = list(range(100, 130))
    created = await rig.create(
        alice, outputs=[pay(amount) for amount in amounts], options={"randomizeOutputs": randomize}
    )
    order = [each.satoshis for each in created.outputs if each.purpose is None]
    assert (order == amounts) is not randomize
    assert sorted(order) == amounts


async def _statements(rig: Rig, alice: AuthId, args: dict[str, Any]) -> int:
    request = CreateRequest(
        user_id=alice.user_id or 0,
        args=validate_create_action({"description": "count me", **args}).for_storage(),
        fees=FeeModel(1),
        now=rig.clock(),
        entropy=rig.random.randbytes,
    )

    def counted(unit: Unit) -> int:
        create_action(unit, request)
        return unit.statements

    return await rig.database.write(counted)


async def test_the_number_of_statements_does_not_depend_on_the_size(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000] * 400)
    assert await _statements(rig, alice, {"outputs": [pay(1_000)]}) == 7
    small = await _statements(rig, alice, {"outputs": [pay(1_000, basket="b", tags=["t"])], "labels": ["l"]})
    many = [pay(100, basket=f"b{i % 7}", tags=[f"t{i}", f"u{i}"]) for i in range(60)]
    large = await _statements(rig, alice, {"outputs": many, "labels": [f"l{i}" for i in range(40)]})
    assert large == small
    assert await _statements(rig, alice, {"outputs": [pay(300_000)]}) == 10  # no single coin: three windows more


async def test_r38_a_big_pool_costs_no_more_statements(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000] * 20)
    few = await _statements(rig, alice, {"outputs": [pay(1_000)]})
    await rig.mine(alice, [10_000] * 2_000)
    assert await _statements(rig, alice, {"outputs": [pay(1_000)]}) == few


async def test_data_outputs_need_no_basket(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000])
    created = await rig.create(alice, outputs=[pay(0, DATA)])
    assert [each.basket for each in created.outputs if each.purpose is None] == [None]
