"""Sending: from a queued request to what is known of it, over a network that is slow, down, wrong or lying."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import ServiceUnavailable
from sdk.core.script import Script
from sdk.core.transaction import Transaction, TransactionInput, TransactionOutput
from sdk.wallet.broadcasting.broadcaster import Broadcaster
from sdk.wallet.broadcasting.policy import SendPolicy
from sdk.wallet.services.ports import Classification
from sdk.wallet.storage.request_claims import claim_named, claim_waiting
from support.fake_network import FakeNetwork, answer
from support.wallet_rows import OPEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.beef import Beef
    from sdk.wallet.broadcasting.reports import WorkReport
    from sdk.wallet.services.ports import PostResult
    from support.wallet_rows import Rows, TestClock

AGE = timedelta(seconds=7)
TERMINAL = ("invalid", "doubleSpend")


async def sweep(broadcaster: Broadcaster, clock: TestClock, **ticks: float) -> WorkReport:
    clock.tick(**(ticks or {"seconds": 10}))
    return await broadcaster.send_waiting(min_age=AGE, limit=100)


def says(kind: Classification, **more: object):  # type: ignore[no-untyped-def]
    def script(_beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        return [answer(txid, kind, **more) for txid in txids]  # type: ignore[arg-type]

    return script


async def test_a_queued_action_is_sent_and_accepted(rows: Rows, broadcaster: Broadcaster, clock: TestClock) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    txid = transaction.txid()
    assert await rows.statuses(txid) == ("unsent", ["sending"])
    report = await sweep(broadcaster, clock)
    assert (report.processed, report.more, dict(report.detail)) == (1, False, {"success": 1})
    assert await rows.statuses(txid) == ("unmined", ["unproven"])
    assert (await rows.request(txid)).wasBroadcast
    assert await rows.coin_state(coin) == (False, 2)
    assert (await sweep(broadcaster, clock)).processed == 0
    assert len(rows.network.posts) == 1


async def test_a_young_request_is_left_to_the_call_that_made_it(rows: Rows, broadcaster: Broadcaster) -> None:
    alice = await rows.user()
    await rows.sign(alice, [await rows.coin(alice)])
    assert (await broadcaster.send_waiting(min_age=AGE, limit=10)).processed == 0


async def test_an_immediate_send_reports_what_became_of_it(rows: Rows, broadcaster: Broadcaster) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)], delayed=False)
    assert await rows.statuses(transaction.txid()) == ("unsent", ["unprocessed"])
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("success", "unmined")
    (again,) = await broadcaster.send([transaction.txid()])
    assert again.result == "success"
    assert len(rows.network.posts) == 1


async def test_r12_already_known_is_success(rows: Rows, broadcaster: Broadcaster) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.accept(transaction)
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "success"
    assert (await rows.notes(transaction.txid()))[-1]["already_known"] is True


@pytest.mark.parametrize(
    "trouble", [ServiceUnavailable("arc", "refused"), TimeoutError(), ConnectionResetError("gone")]
)
async def test_r10_a_failing_service_is_no_verdict(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock, trouble: Exception
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    rows.network.scripted.append(trouble)
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("serviceError", "sending")
    assert (await rows.coin_state(coin))[0] is False
    assert (await rows.request(transaction.txid())).attempts == 1
    assert (await sweep(broadcaster, clock, seconds=1)).processed == 0  # not before its next date
    assert dict((await sweep(broadcaster, clock, seconds=10)).detail) == {"success": 1}


async def test_a_post_that_never_ends_is_cut_off(rows: Rows, clock: TestClock) -> None:
    class Silent(FakeNetwork):
        async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    policy = SendPolicy(post_timeout=timedelta(seconds=0.05))
    broadcaster = Broadcaster(rows.database, Silent(), clock=clock, owner="worker-1", policy=policy)
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "serviceError"
    assert "no answer within" in (await rows.notes(transaction.txid()))[-1]["reason"]


async def test_r17_attempts_are_counted_when_posted_and_back_off_doubles(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.down.add("post")
    waited = []
    for expected in range(1, 6):
        seconds = 0
        while (await rows.request(transaction.txid())).attempts < expected:
            await sweep(broadcaster, clock, seconds=1 if seconds < 30 else 10)
            seconds += 1 if seconds < 30 else 10
        waited.append(seconds)
    assert waited[1:] == sorted(waited[1:])
    assert waited[1] >= 10
    assert waited[4] >= 80
    assert len(rows.network.posts) == 5
    rows.network.down.clear()
    assert dict((await sweep(broadcaster, clock, minutes=11)).detail) == {"success": 1}
    assert (await rows.request(transaction.txid())).attempts == 0


async def test_r14_back_pressure_is_obeyed(rows: Rows, broadcaster: Broadcaster, clock: TestClock) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(says(Classification.SERVICE_ERROR, retry_after=300.0))
    await broadcaster.send([transaction.txid()])
    assert (await sweep(broadcaster, clock, seconds=299)).processed == 0
    assert (await sweep(broadcaster, clock, seconds=2)).processed == 1


async def test_r16_an_answer_about_another_transaction_is_no_success(rows: Rows, broadcaster: Broadcaster) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(lambda _beef, _txids: [answer("ee" * 32, Classification.SUCCESS)])
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.result == "serviceError"


async def test_r8_a_missing_parent_is_a_condition(rows: Rows, broadcaster: Broadcaster, clock: TestClock) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(says(Classification.ORPHAN))
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert outcome.status.value == "sending"
    assert dict((await sweep(broadcaster, clock, minutes=1)).detail) == {"success": 1}


async def test_an_invalid_verdict_ends_it_and_frees_what_is_proven_unspent(
    rows: Rows, broadcaster: Broadcaster
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    rows.network.scripted.append(says(Classification.INVALID, word="461", detail="script failed"))
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("invalidTx", "invalid")
    assert await rows.statuses(transaction.txid()) == ("invalid", ["failed"])
    assert await rows.coin_state(coin) == (True, None)
    assert "script failed" in (await rows.notes(transaction.txid()))[-1]["reason"]
    assert await rows.broken_invariants() == []


async def test_r28_inputs_stay_reserved_while_nobody_can_say_and_are_freed_later(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    rows.network.scripted.append(says(Classification.INVALID))
    rows.network.down.add("utxos")
    await broadcaster.send([transaction.txid()])
    assert await rows.statuses(transaction.txid()) == ("invalid", ["failed"])
    assert (await rows.coin_state(coin))[0] is False
    assert dict((await broadcaster.review_failed(limit=10)).detail) == {"unknown": 1}
    assert (await broadcaster.review_failed(limit=10)).processed == 0  # asked again only after a while
    rows.network.down.clear()
    clock.tick(minutes=11)
    assert dict((await broadcaster.review_failed(limit=10)).detail) == {"freed": 1}
    assert await rows.coin_state(coin) == (True, None)


@pytest.mark.parametrize("kind", [Classification.INVALID, Classification.DOUBLE_SPEND])
async def test_r11_a_refusal_that_cannot_be_confirmed_ends_nothing(
    rows: Rows, broadcaster: Broadcaster, kind: Classification
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    rows.network.down.add("statuses")
    rows.network.scripted.append(says(kind, competing_txids=("cc" * 32,)))
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("serviceError", "sending")
    assert (await rows.coin_state(coin))[0] is False


@pytest.mark.parametrize("kind", [Classification.INVALID, Classification.DOUBLE_SPEND])
async def test_r11_a_refusal_of_what_the_network_knows_is_success(
    rows: Rows, broadcaster: Broadcaster, kind: Classification
) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.accept(transaction)
    rows.network.scripted.append(says(kind))
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("success", "unmined")


@pytest.mark.parametrize("named", [(), ("cc" * 32,)], ids=["nobody named", "a stranger named"])
async def test_r11_a_double_spend_needs_a_competitor_that_spends_our_input(
    rows: Rows, broadcaster: Broadcaster, named: tuple[str, ...]
) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    stranger = rows.build([await rows.coin(alice)])
    rows.network.accept(stranger)
    named = (stranger.txid(),) if named else ()
    transaction, _ = await rows.sign(alice, [coin])
    rows.network.scripted.append(says(Classification.DOUBLE_SPEND, competing_txids=named))
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("serviceError", "sending")


async def test_r29_a_confirmed_double_spend_ends_it_and_the_spent_input_never_funds_again(
    rows: Rows, broadcaster: Broadcaster
) -> None:
    alice = await rows.user()
    lost, safe = await rows.coin(alice), await rows.coin(alice)
    rival = rows.build([lost])
    rows.network.accept(rival)
    transaction, _ = await rows.sign(alice, [lost, safe])
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("doubleSpend", "doubleSpend")
    assert outcome.competing_txids == (rival.txid(),)
    assert outcome.rivals[0].raw_tx == rival.to_bytes()
    assert await rows.coin_state(lost) == (False, None)
    assert await rows.coin_state(safe) == (True, None)
    assert (await rows.notes(transaction.txid()))[-1]["competitor"] == rival.txid()
    assert await rows.broken_invariants() == []


async def test_a_competitor_that_somebody_made_up_ends_nothing(rows: Rows, broadcaster: Broadcaster) -> None:
    """It spends our coin, and a service says it knows it; but nobody could have signed that."""
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    invented = Transaction(1, [TransactionInput(coin.outpoint, Script(b"\x51\x6a"))], [TransactionOutput(1, OPEN)], 0)
    rows.network.accept(invented)
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("serviceError", "sending")
    assert (await rows.coin_state(coin))[0] is False


async def test_contradicting_providers_settle_nothing(rows: Rows, broadcaster: Broadcaster) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(
        lambda _beef, txids: [
            answer(txids[0], Classification.DOUBLE_SPEND, "one", competing_txids=("cc" * 32,)),
            answer(txids[0], Classification.SUCCESS, "two"),
        ]
    )
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("serviceError", "sending")


async def test_r20_a_late_rejection_of_something_accepted_is_retried(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    from sdk.wallet.lifecycle import evidence as by
    from sdk.wallet.storage.requests import apply_evidence

    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    txid = transaction.txid()
    await broadcaster.send([txid])
    await rows.database.write(apply_evidence, txid, by.LateRejection("arc", "REJECTED"), now=clock())
    assert await rows.statuses(txid) == ("unsent", ["sending"])
    rows.network.forget(txid)
    rows.network.scripted.append(says(Classification.INVALID))
    assert dict((await sweep(broadcaster, clock)).detail) == {"serviceError": 1}
    assert (await rows.request(txid)).status == "sending"
    assert dict((await sweep(broadcaster, clock, minutes=1)).detail) == {"success": 1}
    assert (await rows.coin_state(coin))[0] is False


async def test_r24_children_fail_with_their_parent_and_only_unrelated_inputs_are_freed(
    rows: Rows, broadcaster: Broadcaster
) -> None:
    alice = await rows.user()
    coin, other = await rows.coin(alice), await rows.coin(alice)
    parent, change = await rows.sign(alice, [coin])
    child, grand_change = await rows.sign(alice, [change[0], other])
    grandchild, _ = await rows.sign(alice, grand_change)
    rows.network.scripted.append(says(Classification.INVALID))
    (outcome,) = await broadcaster.send([parent.txid()])
    assert outcome.failed == (parent.txid(), child.txid(), grandchild.txid())
    for each in (parent, child, grandchild):
        assert await rows.statuses(each.txid()) == ("invalid", ["failed"])
    assert (await rows.notes(grandchild.txid()))[-1]["parent"] == child.txid()
    assert await rows.coin_state(coin) == (True, None)
    assert await rows.coin_state(other) == (True, None)
    assert (await rows.coin_state(change[0]))[0] is False  # quarantined
    assert rows.network.posts == [(parent.txid(),)]


async def test_r24_a_child_signed_after_its_parent_failed_is_not_posted(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    parent, change = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(says(Classification.INVALID))
    await broadcaster.send([parent.txid()])
    child, _ = await rows.sign(alice, change)
    assert dict((await sweep(broadcaster, clock)).detail) == {"invalidTx": 1}
    assert len(rows.network.posts) == 1
    assert (await rows.notes(child.txid()))[-1]["parent"] == parent.txid()


async def test_r15_the_beef_is_rebuilt_from_the_rows_and_pruned(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    coin, unrelated = await rows.coin(alice), await rows.coin(alice)
    parent, change = await rows.sign(alice, [coin])
    await rows.sign(alice, [unrelated])
    child, _ = await rows.sign(alice, change)
    await broadcaster.send([child.txid()])
    assert set(rows.network.beefs[0].txids()) == {coin.outpoint.txid, parent.txid(), child.txid()}
    assert rows.network.beefs[0].path_for(coin.outpoint.txid) is not None


async def test_parents_are_posted_before_children(rows: Rows, broadcaster: Broadcaster, clock: TestClock) -> None:
    alice = await rows.user()
    change = [await rows.coin(alice)]
    chain = []
    for _ in range(4):
        transaction, change = await rows.sign(alice, change)
        chain.append((transaction.txid(),))
    await sweep(broadcaster, clock)
    assert rows.network.posts == chain


async def test_a_batch_is_posted_as_a_unit(rows: Rows, broadcaster: Broadcaster, clock: TestClock) -> None:
    alice = await rows.user()
    first, _ = await rows.sign(alice, [await rows.coin(alice)], batch="b1")
    clock.tick(seconds=5)
    second, _ = await rows.sign(alice, [await rows.coin(alice)], batch="b1")
    clock.tick(seconds=4)
    assert (await broadcaster.send_waiting(min_age=AGE, limit=10)).processed == 0  # its youngest is too young
    assert (await sweep(broadcaster, clock)).processed == 2
    assert [set(each) for each in rows.network.posts] == [{first.txid(), second.txid()}]


async def test_every_user_of_a_txid_follows(rows: Rows, broadcaster: Broadcaster) -> None:
    alice, bob = await rows.user("alice"), await rows.user("bob")
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    await rows.receive(bob, transaction)
    await broadcaster.send([transaction.txid()])
    assert await rows.statuses(transaction.txid()) == ("unmined", ["unproven", "unproven"])


async def test_a_batch_that_waits_for_one_of_its_members_holds_up_nobody_else(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    batch = [(await rows.sign(alice, [await rows.coin(alice)], batch="b1"))[0].txid() for _ in range(6)]
    assert len(batch) > SendPolicy().concurrency

    def one_shall_wait(_beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        return [
            answer(txid, Classification.SERVICE_ERROR, retry_after=3600 if txid == batch[-1] else None)
            for txid in txids
        ]

    rows.network.scripted.append(one_shall_wait)
    assert dict((await sweep(broadcaster, clock)).detail) == {"serviceError": 6}
    clock.tick(minutes=5)  # all the others are due, and have been for longer
    single, _ = await rows.sign(alice, [await rows.coin(alice)])
    assert dict((await sweep(broadcaster, clock)).detail) == {"success": 1}
    assert rows.network.posts[-1] == (single.txid(),)
    assert dict((await sweep(broadcaster, clock, hours=1)).detail) == {"success": 6}
    assert sorted(rows.network.posts[-1]) == sorted(batch)


async def test_a_caller_gets_the_answer_of_a_monitor_that_was_quicker(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)], delayed=False)
    posting, answered = asyncio.Event(), asyncio.Event()

    class Slow(FakeNetwork):
        async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
            posting.set()
            await answered.wait()
            return await rows.network.post_beef(beef, txids)

    monitor = Broadcaster(rows.database, Slow(), clock=clock, owner="monitor")
    first = asyncio.create_task(monitor.send_waiting(min_age=timedelta(0), limit=5))
    await posting.wait()
    second = asyncio.create_task(broadcaster.send([transaction.txid()]))
    await asyncio.sleep(0.05)
    assert not second.done()
    answered.set()
    assert (await first).processed == 1
    (outcome,) = await second
    assert (outcome.result, outcome.status.value) == ("success", "unmined")
    assert len(rows.network.posts) == 1


async def test_r19_a_worker_that_died_after_the_claim_is_replaced_when_its_lease_ends(
    rows: Rows, clock: TestClock
) -> None:
    policy = SendPolicy(other_worker=timedelta(seconds=0.05))
    broadcaster = Broadcaster(rows.database, rows.network, clock=clock, owner="worker-1", policy=policy)
    alice = await rows.user()
    transaction, _ = await rows.sign(alice, [await rows.coin(alice)])
    dead = await rows.database.write(
        claim_named, [transaction.txid()], owner="dead", now=clock(), lease=timedelta(minutes=5)
    )
    assert len(dead) == 1
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, outcome.status.value) == ("serviceError", "sending")  # somebody else is at it
    assert (await sweep(broadcaster, clock, minutes=4)).processed == 0
    assert dict((await sweep(broadcaster, clock, minutes=2)).detail) == {"success": 1}


async def test_a_worker_that_lost_its_lease_does_not_end_what_another_sends(rows: Rows, clock: TestClock) -> None:
    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])

    class Slow(FakeNetwork):
        async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
            clock.tick(minutes=6)
            taken = await rows.database.write(
                claim_waiting, owner="other", now=clock(), lease=timedelta(minutes=5), min_age=AGE, limit=5
            )
            assert len(taken) == 1
            return [answer(txids[0], Classification.INVALID)]

    slow = Broadcaster(rows.database, Slow(), clock=clock, owner="slow")
    (outcome,) = await slow.send([transaction.txid()])
    assert outcome.status.value == "sending"
    assert (await rows.coin_state(coin))[0] is False


async def test_two_workers_never_post_the_same(rows: Rows, clock: TestClock) -> None:
    alice = await rows.user()
    for _ in range(12):
        await rows.sign(alice, [await rows.coin(alice)])
    clock.tick(seconds=10)
    workers = [Broadcaster(rows.database, rows.network, clock=clock, owner=f"worker-{n}") for n in range(3)]
    reports = await asyncio.gather(*(each.send_waiting(min_age=AGE, limit=100) for each in workers))
    assert sum(report.processed for report in reports) == 12
    assert len(rows.network.posts) == 12
    assert len(set(rows.network.posts)) == 12


async def test_stuck_requests_do_not_starve_the_others(rows: Rows, broadcaster: Broadcaster, clock: TestClock) -> None:
    alice = await rows.user()
    for _ in range(6):
        await rows.sign(alice, [await rows.coin(alice)])
    rows.network.down.add("post")
    await sweep(broadcaster, clock)
    rows.network.down.clear()
    fresh, _ = await rows.sign(alice, [await rows.coin(alice)])
    clock.tick(seconds=8)
    report = await broadcaster.send_waiting(min_age=AGE, limit=1)
    assert dict(report.detail) == {"success": 1}
    assert rows.network.posts[-1] == (fresh.txid(),)


async def test_an_ancestor_that_is_missing_is_fetched_once_and_kept(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    from sqlalchemy import delete, update

    from sdk.service.database import Prepared
    from sdk.wallet.storage.tables import proven_txs, transactions

    alice = await rows.user()
    coin = await rows.coin(alice)
    transaction, _ = await rows.sign(alice, [coin])
    await rows.database.write(
        lambda unit: (
            unit.run(Prepared(update(transactions).values(provenTxId=None))),
            unit.run(Prepared(delete(proven_txs))),
        )
    )
    rows.network.down.add("raw")
    (outcome,) = await broadcaster.send([transaction.txid()])
    assert (outcome.result, rows.network.posts) == ("serviceError", [])
    assert coin.outpoint.txid in (await rows.notes(transaction.txid()))[-1]["reason"]
    rows.network.down.clear()
    assert dict((await sweep(broadcaster, clock, minutes=1)).detail) == {"success": 1}
    assert rows.network.beefs[0].path_for(coin.outpoint.txid) is not None
    assert await rows.count(proven_txs) == 1


async def test_r68_a_defect_met_with_one_request_does_not_stop_the_rest(
    rows: Rows, broadcaster: Broadcaster, clock: TestClock
) -> None:
    alice = await rows.user()
    first, _ = await rows.sign(alice, [await rows.coin(alice)])
    second, _ = await rows.sign(alice, [await rows.coin(alice)])
    rows.network.scripted.append(ValueError("a bug"))
    report = await sweep(broadcaster, clock)
    assert dict(report.detail) == {"serviceError": 1, "success": 1}
    assert "a bug" in str(await rows.notes(first.txid())) + str(await rows.notes(second.txid()))
