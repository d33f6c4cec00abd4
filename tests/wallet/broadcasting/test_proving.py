"""Proofs: stored only when our own chain agrees, withdrawn only when our own chain says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.wallet.services.ports import Classification, ProofResult, ProofState
from sdk.wallet.storage.proofs import load_checkpoint
from sdk.wallet.storage.tables import proven_txs
from support.fake_network import answer

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction
    from sdk.wallet.broadcasting.broadcaster import Broadcaster
    from sdk.wallet.broadcasting.prover import Prover
    from sdk.wallet.broadcasting.reorgs import ReorgFollower
    from support.wallet_rows import Coin, Rows, TestClock


@dataclass(frozen=True)
class Tip:
    height: int
    hash: str


def tip(rows: Rows) -> Tip:
    return Tip(rows.network.height, rows.network.chain[-1][0].hash())


async def sent(rows: Rows, broadcaster: Broadcaster, name: str = "alice") -> tuple[Transaction, Coin, list[Coin]]:
    user = await rows.user(name)
    coin = await rows.coin(user)
    transaction, change = await rows.sign(user, [coin])
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "success"
    return transaction, coin, change


async def check(rows: Rows, prover: Prover) -> dict[str, int]:
    return dict((await prover.check(up_to_height=rows.network.height, limit=100)).detail)


async def test_r1_a_proof_and_what_it_completes_come_together(
    rows: Rows, broadcaster: Broadcaster, prover: Prover
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    bob = await rows.user("bob")
    await rows.receive(bob, transaction)
    assert await check(rows, prover) == {"not_mined": 1}
    header = rows.network.mine()
    assert await check(rows, prover) == {"proven": 1}
    assert await rows.statuses(transaction.txid()) == ("completed", ["completed", "completed"])
    note = (await rows.notes(transaction.txid()))[-1]
    assert (note["block_hash"], note["height"]) == (header.hash(), rows.network.height)
    assert await rows.broken_invariants() == []
    assert await check(rows, prover) == {}


async def test_r50_a_block_above_the_agreed_height_waits(rows: Rows, broadcaster: Broadcaster, prover: Prover) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    rows.network.mine()
    height = rows.network.height
    assert dict((await prover.check(up_to_height=height - 1, limit=10)).detail) == {"too_new": 1}
    assert await rows.statuses(transaction.txid()) == ("unmined", ["unproven"])
    assert dict((await prover.check(up_to_height=height, limit=10)).detail) == {"proven": 1}


@pytest.mark.parametrize("forgery", ["other block", "without the leaf", "invented root"])
async def test_r49_a_forged_proof_is_not_stored(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, forgery: str
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    txid = transaction.txid()
    before = await rows.count(proven_txs)
    header = rows.network.mine([])
    made = {
        "other block": MerklePath.from_block(1, ["ab" * 32, txid], [txid]),
        "without the leaf": MerklePath.from_block(1, ["ab" * 32, "cd" * 32], ["cd" * 32]),
        "invented root": MerklePath.from_block(rows.network.height, [txid], [txid]),
    }[forgery]
    rows.network.forged_proofs[txid] = ProofResult(ProofState.FOUND, txid, "liar", made, header)
    assert await check(rows, prover) == {"mismatch": 1}
    assert await rows.statuses(txid) == ("unmined", ["unproven"])
    assert await rows.count(proven_txs) == before
    del rows.network.forged_proofs[txid]
    rows.network.mine()
    assert await check(rows, prover) == {"proven": 1}


@pytest.mark.parametrize("broken", ["headers", "proofs"])
async def test_r52_an_outage_is_not_a_mismatch(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, clock: TestClock, broken: str
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    rows.network.mine()
    rows.network.down.add(broken)
    assert await check(rows, prover) == {"unavailable": 1}
    assert (await rows.request(transaction.txid())).status == "unmined"
    rows.network.down.clear()
    clock.tick(minutes=1)
    assert await check(rows, prover) == {"proven": 1}


async def test_r18_what_was_accepted_and_is_never_mined_is_sent_again(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, clock: TestClock
) -> None:
    transaction, coin, _ = await sent(rows, broadcaster)
    outcomes: list[str] = []
    for _ in range(144):
        rows.network.mine([])
        clock.tick(minutes=10)
        outcomes += await check(rows, prover)
        outcomes += await check(rows, prover)  # the same height again counts for nothing
    assert outcomes.count("overdue") == 1
    request = await rows.request(transaction.txid())
    assert (request.status, request.rebroadcastAttempts) == ("unsent", 1)
    assert await rows.statuses(transaction.txid()) == ("unsent", ["sending"])
    assert (await rows.coin_state(coin))[0] is False


async def test_r13_what_the_network_has_forgotten_is_sent_again_soon(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, clock: TestClock
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    rows.network.forget(transaction.txid())
    found = []
    for _ in range(3):
        rows.network.mine([])
        found += list(await check(rows, prover))
    assert found == ["not_mined", "not_mined", "overdue"]
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "success"


async def test_r13_what_only_its_provider_has_seen_is_asked_after_at_the_next_height(
    rows: Rows, broadcaster: Broadcaster, prover: Prover
) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(lambda _beef, txids: [answer(txids[0], Classification.SUCCESS, word="STORED")])
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "success"
    rows.network.mine([])
    assert await check(rows, prover) == {"overdue": 1}
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "success"
    assert transaction.txid() in rows.network.mempool


async def test_a_post_whose_answer_was_lost_is_proven_all_the_same(
    rows: Rows, broadcaster: Broadcaster, prover: Prover
) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(TimeoutError())
    await broadcaster.send([transaction.txid()])
    rows.network.accept(transaction)
    rows.network.mine()
    assert await check(rows, prover) == {"proven": 1}
    assert (await rows.request(transaction.txid())).status == "completed"


async def test_r51_a_reorg_demotes_and_proves_again(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, follower: ReorgFollower
) -> None:
    transaction, _, change = await sent(rows, broadcaster)
    rows.network.mine()
    await check(rows, prover)
    await follower.follow(tip(rows))
    stale = tip(rows).hash
    rows.network.reorg(1)
    rows.network.mine([])
    rows.network.mine([])
    report = await follower.follow(tip(rows))
    assert report.detail["demoted"] == 1
    assert await rows.statuses(transaction.txid()) == ("unmined", ["unproven"])
    assert await rows.coin_state(change[0]) == (True, None)
    note = next(each for each in await rows.notes(transaction.txid()) if each["what"] == "reorg")
    assert note["block_hash"] == stale
    assert await rows.broken_invariants() == []
    rows.network.mine()
    assert await check(rows, prover) == {"proven": 1}
    assert (await rows.request(transaction.txid())).status == "completed"


async def test_r51_the_proof_in_the_new_chain_is_found_in_the_same_call(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, follower: ReorgFollower
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    rows.network.mine()
    await check(rows, prover)
    rows.network.reorg(1)
    rows.network.mine()
    rows.network.mine()
    report = await follower.follow(tip(rows))
    assert dict(report.detail) == {"blocks": 2, "demoted": 1, "reproven": 1}
    assert await rows.statuses(transaction.txid()) == ("completed", ["completed"])
    assert await rows.broken_invariants() == []


async def test_r51_events_that_were_missed_are_found_from_the_rows(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, follower: ReorgFollower
) -> None:
    """Twenty proven blocks, a reorganisation below them all, and nobody was looking."""
    made = []
    for number in range(20):
        transaction, _, _ = await sent(rows, broadcaster, f"user{number}")
        rows.network.mine()
        await check(rows, prover)
        made.append(transaction)
    await follower.follow(tip(rows))
    rows.network.reorg(40)
    for _ in range(41):
        rows.network.mine([])
    report = await follower.follow(tip(rows))
    assert report.detail["demoted"] == 40
    for transaction in made:
        assert await rows.statuses(transaction.txid()) == ("unmined", ["unproven"])
    assert await rows.broken_invariants() == []


async def test_r52_an_outage_of_the_headers_demotes_nothing_and_is_finished_later(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, follower: ReorgFollower
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    rows.network.mine()
    await check(rows, prover)
    await follower.follow(tip(rows))
    checkpoint = await rows.database.read(load_checkpoint, "proofs-follow-tip")
    rows.network.reorg(1)
    rows.network.mine([])
    rows.network.mine([])
    rows.network.down.add("headers")
    with pytest.raises(ServiceUnavailable):
        await follower.follow(tip(rows))
    assert (await rows.request(transaction.txid())).status == "completed"
    assert await rows.database.read(load_checkpoint, "proofs-follow-tip") == checkpoint
    rows.network.down.clear()
    assert (await follower.follow(tip(rows))).processed == 1


async def test_a_header_service_that_is_behind_demotes_nothing(
    rows: Rows, broadcaster: Broadcaster, prover: Prover, follower: ReorgFollower
) -> None:
    transaction, _, _ = await sent(rows, broadcaster)
    rows.network.mine()
    await check(rows, prover)
    await follower.follow(tip(rows))
    rows.network.chain.pop()
    assert (await follower.follow(tip(rows))).processed == 0
    assert (await rows.request(transaction.txid())).status == "completed"


async def test_r2_a_demoted_transaction_without_a_request_gets_one(
    rows: Rows, prover: Prover, follower: ReorgFollower
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    rows.network.reorg(1)
    rows.network.mine([])
    rows.network.mine([])
    assert (await follower.follow(tip(rows))).processed == 1
    assert await rows.statuses(coin.outpoint.txid) == ("unmined", ["unproven"])
    rows.network.mine()
    assert await check(rows, prover) == {"proven": 1}
    assert await rows.statuses(coin.outpoint.txid) == ("completed", ["completed"])


async def test_r56_a_failed_transaction_that_is_mined_comes_back_with_its_inputs(
    rows: Rows, broadcaster: Broadcaster, prover: Prover
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    txid = transaction.txid()
    rows.network.scripted.append(lambda _beef, txids: [answer(txids[0], Classification.INVALID)])
    await broadcaster.send([txid])
    assert await rows.coin_state(coin) == (True, None)
    rows.network.accept(transaction)
    rows.network.mine()
    assert await prover.prove([(txid, transaction.to_bytes())]) == 1
    assert await rows.statuses(txid) == ("completed", ["completed"])
    assert (await rows.coin_state(coin))[0] is False
    assert await rows.broken_invariants() == []
