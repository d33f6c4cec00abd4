from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import InvalidOperation, InvalidParameter
from sdk.core.wallet import AbortActionArgs
from sdk.wallet.services.ports import TxState, TxStatus
from support.storage_rig import BOB, Rig, pay, process_args, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.service.database import Database


class Statuses:
    """Services that only know what they are told of transactions."""

    def __init__(self, state: TxState) -> None:
        self.state = state
        self.asked: list[str] = []

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        self.asked += txids
        return {txid: TxStatus(txid, self.state) for txid in txids}


def by(reference: str) -> AbortActionArgs:
    return AbortActionArgs(reference=reference)


async def test_an_unsigned_action_gives_its_inputs_back(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice)
    result = await everywhere.provider.abort_action(alice, by(created.reference))
    assert result.aborted is True
    again = await everywhere.create(alice)
    assert [each.source_txid for each in again.inputs] == [each.source_txid for each in created.inputs]
    with pytest.raises(InvalidOperation):
        await everywhere.provider.abort_action(alice, by(created.reference))
    with pytest.raises(InvalidOperation):
        await everywhere.process(alice, created)


@pytest.mark.parametrize(
    ("state", "note"), [(TxState.UNKNOWN, '"checked":true'), (TxState.UNAVAILABLE, '"checked":false')]
)
async def test_r45_a_held_action_is_given_up_unless_the_network_has_it(
    database: Database, state: TxState, note: str
) -> None:
    services = Statuses(state)
    rig = Rig(database, services=services)
    alice = await rig.user()
    await rig.mine(alice, [10_000])
    held, _ = await rig.process(
        alice, await rig.create(alice, options={"noSend": True}, outputs=[pay(10)]), is_no_send=True
    )
    await rig.provider.abort_action(alice, by(held.txid()))
    assert services.asked == [held.txid()]
    rows = await rig.dump()
    assert any(note in str(each) for row in rows["proven_tx_reqs"] for each in row)
    assert await rig.provider.balance(alice) == 10_000


@pytest.mark.parametrize("state", [TxState.KNOWN, TxState.MINED])
async def test_r45_what_the_network_has_is_not_aborted(database: Database, state: TxState) -> None:
    rig = Rig(database, services=Statuses(state))
    alice = await rig.user()
    await rig.mine(alice, [10_000])
    held, _ = await rig.process(
        alice, await rig.create(alice, options={"noSend": True}, outputs=[pay(10)]), is_no_send=True
    )
    before = await rig.dump()
    with pytest.raises(InvalidOperation, match=state.value):
        await rig.provider.abort_action(alice, by(held.txid()))
    assert await rig.dump() == before


async def test_a_queued_action_is_not_aborted(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    queued = await everywhere.act(alice)
    before = await everywhere.dump()
    with pytest.raises(InvalidOperation, match="sending"):
        await everywhere.provider.abort_action(alice, by(queued.txid()))
    assert await everywhere.dump() == before


async def test_what_others_build_upon_is_not_aborted(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    first = await everywhere.create(alice, options={"noSend": True}, outputs=[pay(10)])
    parent, _ = await everywhere.process(alice, first, is_no_send=True)
    change = [f"{parent.txid()}.{vout}" for vout in first.no_send_change_output_vouts or ()]
    child = await everywhere.create(alice, options={"noSend": True, "noSendChange": change}, outputs=[pay(20)])
    before = await everywhere.dump()
    with pytest.raises(InvalidOperation, match="abort that one first"):
        await everywhere.provider.abort_action(alice, by(first.reference))
    assert await everywhere.dump() == before
    await everywhere.provider.abort_action(alice, by(child.reference))
    await everywhere.provider.abort_action(alice, by(first.reference))
    assert await everywhere.provider.balance(alice) == 10_000


async def test_r65_nobody_aborts_what_is_not_theirs(rig: Rig) -> None:
    alice, bob = await rig.user(), await rig.user(BOB)
    await rig.mine(alice, [10_000])
    created = await rig.create(alice)
    before = await rig.dump()
    with pytest.raises(InvalidParameter) as refused:
        await rig.provider.abort_action(bob, by(created.reference))
    assert refused.value.parameter == "reference"
    assert await rig.dump() == before
    await rig.provider.process_action(alice, process_args(created, sign(created)))
