"""A foreign inputBEEF: believed as far as it proves itself, kept once, and found again when it is needed (R15, R34)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sdk.core.beef import Beef
from sdk.core.errors import InvalidOperation, InvalidParameter, ReviewActions, ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.broadcasting.broadcaster import Broadcaster
from support.fake_network import FakeNetwork
from support.storage_rig import Rig, pay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.storage import AuthId, StorageCreateActionResult, WalletStorage
    from sdk.service.database import Database
    from sdk.wallet.storage.provider import StorageProvider

ANYONE = Script(b"\x51")
NOBODY = Script(b"\x6a")


def transaction(
    sources: Sequence[tuple[Transaction, int]], amounts: Sequence[int], lock: Script = ANYONE
) -> Transaction:
    inputs = [TransactionInput(OutPoint(source.txid(), vout), Script(b"")) for source, vout in sources]
    first = inputs or [TransactionInput(OutPoint("ee" * 32, 0), Script(b""))]
    return Transaction(1, first, [TransactionOutput(amount, lock) for amount in amounts])


class World:
    """Somebody else's coins: ``mined`` is in a block, ``child`` and ``grandchild`` follow unconfirmed."""

    def __init__(self, network: FakeNetwork) -> None:
        self.network = network
        self.mined = transaction([], [10_000, 500])
        network.accept(self.mined)
        network.mine()
        self.child = transaction([(self.mined, 0)], [6_000, 3_000])
        self.grandchild = transaction([(self.child, 0)], [5_000])
        network.accept(self.child)
        network.accept(self.grandchild)

    def path(self, of: Transaction) -> MerklePath:
        height = self.network.block_of(of.txid())
        assert height is not None
        return MerklePath.from_block(height, self.network.chain[height][1], [of.txid()])

    def beef(self, *transactions: Transaction) -> Beef:
        beef = Beef()
        beef.merge_path(self.path(self.mined))
        for each in (self.mined, *transactions):
            beef.merge_transaction(each)
        return beef


@pytest_asyncio.fixture
async def network_rig(any_database: Database) -> Rig:
    network = FakeNetwork()
    rig = Rig(any_database, services=network)
    rig.broadcaster = Broadcaster(any_database, network, clock=rig.clock, owner="test")
    rig.__post_init__()
    return rig


def spending(of: Transaction, vout: int, beef: Beef | bytes, **more: Any) -> dict[str, Any]:
    given = {"outpoint": f"{of.txid()}.{vout}", "inputDescription": "foreign coin", "unlockingScriptLength": 0}
    return {
        "inputs": [given],
        "inputBEEF": beef if isinstance(beef, bytes) else beef.to_bytes(),
        "outputs": [pay(100)],
        **more,
    }


async def test_a_proven_and_an_unproven_source(network_rig: Rig) -> None:
    alice, world = await network_rig.user(), World(network_rig.services)
    proven = await network_rig.create(alice, spending(world.mined, 1, world.beef()))
    assert proven.inputs[0].provided_by == "you"
    assert proven.inputs[0].source_satoshis == 500
    beef = world.beef(world.child, world.grandchild)
    unproven = await network_rig.create(alice, spending(world.grandchild, 0, beef))
    assert unproven.input_beef is not None
    answered = Beef.from_bytes(unproven.input_beef)
    assert answered.validity()
    assert {*answered.txids()} == {each.txid() for each in (world.mined, world.child, world.grandchild)}
    rows = await network_rig.dump()
    assert len(rows["proven_txs"]) == 1
    assert len(rows["wallet_ancestors"]) == 2
    assert all(value is None or not isinstance(value, bytes) for row in rows["transactions"] for value in row)
    await network_rig.process(alice, unproven)


async def test_what_was_given_once_is_known_by_its_txid(network_rig: Rig) -> None:
    alice, world = await network_rig.user(), World(network_rig.services)
    whole = world.beef(world.child, world.grandchild)
    await network_rig.process(alice, await network_rig.create(alice, spending(world.grandchild, 0, whole)))
    unknown, bare = Beef(), Beef()
    unknown.merge_txid_only("ab" * 32)
    with pytest.raises(InvalidParameter) as refused:
        await network_rig.create(alice, spending(world.child, 1, unknown))
    assert refused.value.parameter == "inputBEEF"
    subject = transaction([(world.child, 1)], [2_500])
    bare.merge_txid_only(world.child.txid())
    bare.merge_transaction(subject)
    created = await network_rig.create(alice, spending(subject, 0, bare))
    assert created.input_beef is not None
    answered = Beef.from_bytes(created.input_beef)
    assert answered.validity()
    assert {*answered.txids()} == {each.txid() for each in (world.mined, world.child, subject)}


def forged(world: World) -> dict[str, tuple[dict[str, Any], str]]:
    """Arguments that lie, each in its own way, and what the refusal says."""
    beef = world.beef(world.child, world.grandchild)
    wrong_block = Beef()
    wrong_block.merge_path(MerklePath.from_block(1, ["11" * 32, world.mined.txid()], [world.mined.txid()]))
    wrong_block.merge_transaction(world.mined)
    unknown_height = Beef()
    unknown_height.merge_path(MerklePath.from_block(5_000, ["11" * 32, world.mined.txid()], [world.mined.txid()]))
    unknown_height.merge_transaction(world.mined)
    orphan = Beef()
    orphan.merge_transaction(world.child)
    rich = transaction([(world.mined, 0)], [10_001])
    locked = transaction([(world.mined, 0)], [9_000], NOBODY)
    thief = transaction([(locked, 0)], [8_000])
    missing_output = transaction([(world.mined, 7)], [1])
    other = transaction([(world.mined, 1)], [400])
    return {
        "not BEEF": (spending(world.child, 0, b"\x01\x02\x03\x04"), "inputBEEF"),
        "cut short": (spending(world.child, 0, beef.to_bytes()[:-3]), "inputBEEF"),
        "trailing bytes": (spending(world.child, 0, beef.to_bytes() + b"\x00"), "inputBEEF"),
        "invented merkle path": (spending(world.mined, 0, wrong_block), "inputBEEF"),
        "block that is not there": (spending(world.mined, 0, unknown_height), "inputBEEF"),
        "missing ancestor": (spending(world.child, 0, orphan), "inputBEEF"),
        "outputs above inputs": (spending(rich, 0, world.beef(rich)), "inputBEEF"),
        "wrong script": (spending(thief, 0, world.beef(locked, thief)), "inputBEEF"),
        "spends no output": (spending(missing_output, 0, world.beef(missing_output)), "inputBEEF"),
        "another subject": (spending(other, 0, beef), "inputBEEF"),
        "no such output": (spending(world.child, 2, beef), "inputs[0].outpoint"),
        "no BEEF": ({**spending(world.child, 0, beef), "inputBEEF": None}, "inputBEEF"),
    }


@pytest.mark.parametrize("lie", sorted(forged(World(FakeNetwork()))))
async def test_r41_a_lie_is_refused_by_name_and_leaves_nothing(database: Database, lie: str) -> None:
    network = FakeNetwork()
    rig = Rig(database, services=network)
    alice, world = await rig.user(), World(network)
    await rig.mine(alice, [50_000])
    args, field = forged(world)[lie]
    before = await rig.dump()
    with pytest.raises(InvalidParameter) as refused:
        await rig.create(alice, {key: value for key, value in args.items() if value is not None})
    assert refused.value.parameter == field
    assert await rig.dump() == before


async def test_r52_a_chain_that_cannot_be_asked_is_no_verdict(database: Database) -> None:
    network = FakeNetwork()
    rig = Rig(database, services=network)
    alice, world = await rig.user(), World(network)
    network.down.add("headers")
    with pytest.raises(ServiceUnavailable):
        await rig.create(alice, spending(world.mined, 1, world.beef()))
    lonely = Rig(database)
    with pytest.raises(InvalidOperation, match="network services"):
        await lonely.create(alice, spending(world.mined, 1, world.beef()))


async def test_a_foreign_coin_is_spent_once(network_rig: Rig) -> None:
    alice, world = await network_rig.user(), World(network_rig.services)
    await network_rig.mine(alice, [50_000])
    args = spending(world.mined, 1, world.beef())
    signed, _ = await network_rig.process(alice, await network_rig.create(alice, args))
    before = await network_rig.dump()
    with pytest.raises(ReviewActions) as reviewed:
        await network_rig.create(alice, args)
    assert reviewed.value.review_action_results[0]["competingTxs"] == [signed.txid()]
    assert await network_rig.dump() == before


async def immediate(rig: Rig, alice: AuthId) -> StorageCreateActionResult:
    return await rig.create(alice, options={"acceptDelayedBroadcast": False}, outputs=[pay(1_000)])


async def test_an_immediate_action_is_posted_after_its_commit(network_rig: Rig) -> None:
    alice, network = await network_rig.user(), network_rig.services
    await network_rig.mine(alice, [10_000])
    sent, results = await network_rig.process(alice, await immediate(network_rig, alice), is_delayed=False)
    assert network.posts == [(sent.txid(),)]
    assert results.send_with_results is not None
    assert results.not_delayed_results is not None
    assert [(each.txid, each.status) for each in results.send_with_results] == [(sent.txid(), "unproven")]
    assert [(each.txid, each.status) for each in results.not_delayed_results] == [(sent.txid(), "success")]
    assert (await immediate(network_rig, alice)).inputs[0].source_txid == sent.txid()


async def test_r19_an_unreachable_network_leaves_it_queued(network_rig: Rig) -> None:
    alice, network = await network_rig.user(), network_rig.services
    await network_rig.mine(alice, [10_000])
    network.down.add("post")
    sent, results = await network_rig.process(alice, await immediate(network_rig, alice), is_delayed=False)
    assert results.send_with_results is not None
    assert results.not_delayed_results is not None
    assert [each.status for each in results.send_with_results] == ["sending"]
    assert [each.status for each in results.not_delayed_results] == ["serviceError"]
    (request,) = (await network_rig.dump())["proven_tx_reqs"]
    assert {"sending", sent.txid()} <= {*(each for each in request if isinstance(each, str))}


async def test_r8_what_no_block_may_hold_yet_is_held_not_sent(network_rig: Rig) -> None:
    alice, world = await network_rig.user(), World(network_rig.services)
    await network_rig.mine(alice, [50_000, 50_000])
    locked: dict[str, Any] = {"lockTime": world.network.height + 50}
    args = spending(world.mined, 1, world.beef(), **locked)
    args["inputs"][0]["sequenceNumber"] = 1
    created = await network_rig.create(alice, args)
    before = await network_rig.dump()
    with pytest.raises(InvalidOperation, match="locked until"):
        await network_rig.process(alice, created)
    assert await network_rig.dump() == before
    held, _ = await network_rig.process(alice, created, is_no_send=True)
    assert held.lock_time == locked["lockTime"]
    final = await network_rig.create(alice, outputs=[pay(10)], **locked)  # every sequence is final
    await network_rig.process(alice, final)


def satisfies_the_port(provider: StorageProvider) -> WalletStorage:
    """Checked by mypy."""
    return provider
