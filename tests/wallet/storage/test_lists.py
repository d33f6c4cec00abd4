from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import InvalidParameter
from sdk.core.wallet import (
    FAILED_ACTIONS,
    NO_SEND_ACTIONS,
    SET_CHANGE_PARAMS,
    RelinquishOutputArgs,
    validate_list_actions,
    validate_list_outputs,
)
from sdk.wallet.storage.list_actions import list_actions
from sdk.wallet.storage.list_outputs import list_outputs
from support.storage_rig import BOB, START, p2pkh, pay

if TYPE_CHECKING:
    from sdk.core.storage import AuthId
    from sdk.core.wallet import ListActionsResult, ListOutputsResult
    from sdk.service.database import Unit
    from support.storage_rig import Rig

EVERYTHING = {
    "includeLabels": True,
    "includeInputs": True,
    "includeInputSourceLockingScripts": True,
    "includeInputUnlockingScripts": True,
    "includeOutputs": True,
    "includeOutputLockingScripts": True,
}


async def actions(rig: Rig, auth: AuthId, **args: Any) -> ListActionsResult:
    return await rig.provider.list_actions(auth, validate_list_actions({"labels": [], **args}))


async def outputs(rig: Rig, auth: AuthId, basket: str = "b", **args: Any) -> ListOutputsResult:
    return await rig.provider.list_outputs(auth, validate_list_outputs({"basket": basket, **args}))


async def history(rig: Rig, auth: AuthId) -> None:
    """Six actions, an hour apart; every second is *even*, every third *third*."""
    await rig.mine(auth, [100_000] * 8)
    for number in range(6):
        rig.clock.advance(hours=1)
        labels = [*(["even"] if number % 2 == 0 else []), *(["third"] if number % 3 == 0 else []), "all"]
        tags = [f"tag{number % 2}", f"third{number % 3}"]
        await rig.act(auth, outputs=[pay(100 + number, basket="b", tags=tags)], labels=labels)


@pytest.mark.parametrize(
    ("labels", "mode", "amounts"),
    [
        (["all"], "any", [100, 101, 102, 103, 104, 105]),
        (["even"], "any", [100, 102, 104]),
        (["even", "third"], "any", [100, 102, 103, 104]),
        (["even", "third"], "all", [100]),
        (["even", "unknown"], "any", [100, 102, 104]),
        (["even", "unknown"], "all", []),
        (["unknown"], "any", []),
    ],
)
async def test_actions_by_label(rig: Rig, alice: AuthId, labels: list[str], mode: str, amounts: list[int]) -> None:
    await history(rig, alice)
    result = await actions(rig, alice, labels=labels, labelQueryMode=mode, includeOutputs=True)
    found = [next(o.satoshis for o in each.outputs or () if o.basket == "b") for each in result.actions]
    assert found == amounts
    assert result.total_actions == len(amounts)


async def test_everything_of_an_action_on_each_database(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await history(everywhere, alice)
    result = await actions(everywhere, alice, labels=["even"], limit=2, offset=1, **EVERYTHING)
    assert result.total_actions == 3
    assert len(result.actions) == 2
    for action in result.actions:
        assert action.labels is not None
        assert action.inputs is not None
        assert action.outputs is not None
        assert "even" in action.labels
        assert action.status == "sending"
        assert action.is_outgoing
        assert [each.source_satoshis for each in action.inputs] == [100_000]
        assert all(each.unlocking_script == "00" * 107 for each in action.inputs)
        assert all(each.source_locking_script for each in action.inputs)
        tagged = [each for each in action.outputs if each.basket == "b"]
        assert [len(each.tags) for each in tagged] == [2]
        assert all(each.locking_script for each in action.outputs)
        spent = sum(each.source_satoshis for each in action.inputs)
        kept = sum(each.satoshis for each in action.outputs if each.basket == "default")
        assert action.satoshis == kept - spent


async def test_an_input_carries_its_own_description(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000, 10_000])
    made = await rig.act(alice, outputs=[pay(500, p2pkh("token").to_hex(), basket="b")])
    vout = [each.satoshis for each in made.outputs].index(500)
    spent = {"outpoint": f"{made.txid()}.{vout}", "inputDescription": "why it is spent", "unlockingScriptLength": 107}
    await rig.act(alice, inputs=[{**spent, "sequenceNumber": 9}], outputs=[pay(400)])
    action = (await actions(rig, alice, includeInputs=True)).actions[-1]
    assert action.inputs is not None
    assert (action.inputs[0].input_description, action.inputs[0].sequence_number) == ("why it is spent", 9)


async def test_failed_actions_are_not_listed_and_unsigned_ones_are(rig: Rig, alice: AuthId) -> None:
    await rig.mine(alice, [10_000, 10_000])
    created = await rig.create(alice)
    listed = await actions(rig, alice, **EVERYTHING)
    assert [each.status for each in listed.actions] == ["completed", "unsigned"]
    assert listed.actions[1].txid == ""
    from sdk.core.wallet import AbortActionArgs

    await rig.provider.abort_action(alice, AbortActionArgs(reference=created.reference))
    assert [each.status for each in (await actions(rig, alice)).actions] == ["completed"]


async def test_actions_by_time(rig: Rig, alice: AuthId) -> None:
    await history(rig, alice)

    def at(hours: float) -> int:
        return int((START + timedelta(hours=hours)).timestamp() * 1000)

    labels = ["all", f"action time from {at(2)}", f"action time to {at(5)}"]
    result = await actions(rig, alice, labels=labels, includeLabels=True)
    assert result.total_actions == 3
    assert f"action time {at(2)}" in (result.actions[0].labels or ())
    for bad in (
        ["action time from soon"],
        ["action time from 5", "action time from 6"],
        ["action time from 6", "action time to 5"],
        ["action time from 9999999999999999"],
    ):
        with pytest.raises(InvalidParameter) as refused:
            await actions(rig, alice, labels=bad)
        assert refused.value.parameter == "labels"


@pytest.mark.parametrize(
    ("tags", "mode", "amounts"),
    [
        ([], "any", [100, 101, 102, 103, 104, 105]),
        (["tag0"], "any", [100, 102, 104]),
        (["tag0", "third0"], "any", [100, 102, 103, 104]),
        (["tag0", "third0"], "all", [100]),
        (["tag0", "unknown"], "all", []),
        (["unknown"], "any", []),
    ],
)
async def test_outputs_by_tag(rig: Rig, alice: AuthId, tags: list[str], mode: str, amounts: list[int]) -> None:
    await history(rig, alice)
    result = await outputs(rig, alice, tags=tags, tagQueryMode=mode)
    assert [each.satoshis for each in result.outputs] == amounts
    assert result.total_outputs == len(amounts)


async def test_r74_every_page_knows_the_whole_size(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await history(everywhere, alice)
    for offset, amounts in [
        (0, [100, 101, 102, 103]),
        (4, [104, 105]),
        (6, []),
        (-1, [105, 104, 103, 102]),
        (-5, [101, 100]),
    ]:
        page = await outputs(everywhere, alice, limit=4, offset=offset)
        assert [each.satoshis for each in page.outputs] == amounts
        assert page.total_outputs == 6


async def test_outputs_with_all_that_can_be_included(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await history(everywhere, alice)
    more: dict[str, Any] = {"includeTags": True, "includeLabels": True, "includeCustomInstructions": True}
    result = await outputs(everywhere, alice, include="entire transactions", **more)
    assert result.beef is not None
    beef = Beef.from_bytes(result.beef)
    assert beef.validity()
    assert {each.outpoint.partition(".")[0] for each in result.outputs} <= {*beef.txids()}
    assert result.outputs[0].tags == ("tag0", "third0")
    assert result.outputs[0].labels == ("all", "even", "third")
    scripts = await outputs(everywhere, alice, include="locking scripts")
    assert scripts.beef is None
    assert all(each.locking_script == pay(1)["lockingScript"] for each in scripts.outputs)


async def test_nothing_is_listed_of_a_basket_that_is_not_there(rig: Rig, alice: AuthId) -> None:
    assert await outputs(rig, alice, "nowhere") == await outputs(rig, alice, "default")
    assert (await outputs(rig, alice, "nowhere")).total_outputs == 0


async def test_balance_is_what_is_spendable(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [1_000, 2_000])
    assert await everywhere.provider.balance(alice) == 3_000
    wallet_balance = "893b7646de0e1c9f741bd6e9169b76a8847ae34adef7bef1e6a285371206d2e8"
    assert (await outputs(everywhere, alice, wallet_balance)).total_outputs == 3_000
    assert (await outputs(everywhere, alice, "balance default")).total_outputs == 3_000
    await everywhere.create(alice, outputs=[pay(1_500)])
    assert await everywhere.provider.balance(alice) == 1_000
    assert await everywhere.provider.balance(await everywhere.user(BOB)) == 0


async def test_relinquished_outputs_leave_their_basket(everywhere: Rig) -> None:
    alice, bob = await everywhere.user(), await everywhere.user(BOB)
    await history(everywhere, alice)
    outpoint = (await outputs(everywhere, alice)).outputs[0].outpoint
    args = RelinquishOutputArgs(basket="b", output=outpoint)
    before = await everywhere.dump()
    for auth, wrong in ((bob, args), (alice, RelinquishOutputArgs(basket="default", output=outpoint))):
        with pytest.raises(InvalidParameter) as refused:
            await everywhere.provider.relinquish_output(auth, wrong)
        assert refused.value.parameter == "output"
    assert await everywhere.dump() == before
    assert await everywhere.provider.relinquish_output(alice, args) == 1
    assert (await outputs(everywhere, alice)).total_outputs == 5


async def test_r65_nobody_sees_what_is_not_theirs(rig: Rig, alice: AuthId) -> None:
    await history(rig, alice)
    bob = await rig.user(BOB)
    assert (await actions(rig, bob)).total_actions == 0
    assert (await actions(rig, bob, labels=["all"])).total_actions == 0
    assert (await outputs(rig, bob)).total_outputs == 0
    assert (await outputs(rig, bob, "default")).total_outputs == 0


async def test_the_number_of_statements_does_not_depend_on_the_size(rig: Rig, alice: AuthId) -> None:
    await history(rig, alice)
    user = alice.user_id or 0

    def of_actions(unit: Unit, limit: int) -> int:
        list_actions(unit, user, validate_list_actions({"labels": ["all"], "limit": limit, **EVERYTHING}))
        return unit.statements

    def of_outputs(unit: Unit, limit: int) -> int:
        everything = {"include": "entire transactions", "includeTags": True, "includeLabels": True}
        list_outputs(unit, user, validate_list_outputs({"basket": "b", "limit": limit, **everything}))
        return unit.statements

    one, six = [await rig.database.read(of_actions, limit) for limit in (1, 6)]
    assert one == six == 9
    one, six = [await rig.database.read(of_outputs, limit) for limit in (1, 6)]
    assert one == six == 7


async def hold(rig: Rig, auth: AuthId, satoshis: int, *labels: str) -> str:
    """A signed action that is held back."""
    created = await rig.create(auth, options={"noSend": True}, outputs=[pay(satoshis)], labels=labels)
    transaction, _ = await rig.process(auth, created, is_no_send=True)
    return transaction.txid()


async def test_held_and_failed_actions_are_listed_on_request_and_held_ones_given_up(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [100_000] * 3)
    held = [await hold(everywhere, alice, 10, "red"), await hold(everywhere, alice, 20)]
    await everywhere.act(alice, outputs=[pay(30)], labels=["red"])

    async def txids(*labels: str, **args: Any) -> list[str]:
        return [each.txid for each in (await actions(everywhere, alice, labels=labels, **args)).actions]

    assert await txids(NO_SEND_ACTIONS) == held
    assert await txids(NO_SEND_ACTIONS, "red") == held[:1]
    assert await txids(FAILED_ACTIONS) == []
    before = await everywhere.provider.balance(alice)
    assert await txids(NO_SEND_ACTIONS, "abort", limit=1) == held[:1]
    assert await txids(NO_SEND_ACTIONS) == held[1:]
    failed = (await actions(everywhere, alice, labels=[FAILED_ACTIONS])).actions
    assert [(each.txid, each.status) for each in failed] == [(held[0], "failed")]
    assert await txids("red", "abort") != held[:1], "an ordinary label without the special one"
    assert await everywhere.provider.balance(alice) != before


async def test_how_much_change_is_wanted_can_be_set(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [1_000_000])

    async def change_of_a_payment() -> list[int]:
        created = await everywhere.create(alice, outputs=[pay(100)])
        return [each.satoshis for each in created.outputs if each.purpose == "change"]

    result = await outputs(everywhere, alice, SET_CHANGE_PARAMS, tags=["1", "50000"])
    assert (result.total_outputs, result.outputs) == (0, ())
    assert len(await change_of_a_payment()) == 1
    for tags in (["1"], ["0", "5"], ["3", "x"], ["3", "0"], ["3", "5", "7"], ["99999", "5"]):
        with pytest.raises(InvalidParameter, match="tags"):
            await outputs(everywhere, alice, SET_CHANGE_PARAMS, tags=tags)
