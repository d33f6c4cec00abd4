"""SPV verification: what must pass, and every kind of forgery that must not."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sdk.core.beef import Beef
from sdk.core.chain import MAIN, MOCK
from sdk.core.errors import ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import PrivateKey
from sdk.wallet.script import SpvError, SpvFailure
from sdk.wallet.script.flags import POLICY_ONLY
from sdk.wallet.script.limits import POLICY_LIMITS
from sdk.wallet.script.spv import check, verify
from sdk.wallet.script.templates import data, p2pkh
from support.payments import KEY, LOCK, Tracker, chain_of, coinbase, mint, pay, prove

if TYPE_CHECKING:
    from sdk.core.chain import ChainParameters

HEIGHT = 800_000


def refused(beef: Beef, txid: str, **options: object) -> SpvError:
    with pytest.raises(SpvError) as error:
        check(beef, txid, **options)  # type: ignore[arg-type]
    return error.value


@pytest.mark.parametrize("length", [0, 1, 5])
async def test_a_chain_of_payments_is_good(length: int) -> None:
    beef, last, tracker = chain_of(length)
    assert check(beef, last.txid()) == tracker.roots
    await verify(beef, last.txid(), tracker)
    assert tracker.asked == [HEIGHT]
    again = Beef.from_bytes(beef.to_atomic(last.txid()))
    await verify(again, last.txid(), tracker, extra_flags=POLICY_ONLY)


async def test_each_height_is_asked_once() -> None:
    beef = Beef()
    mined = [mint(1000, seed) for seed in range(1, 7)]
    roots = {1: prove(beef, mined[:3], 1), 2: prove(beef, mined[3:5], 2), 3: prove(beef, mined[5:], 3)}
    spending = pay([(each, 0) for each in mined], [5_000])
    beef.merge_transaction(spending)
    tracker = Tracker(roots)
    await verify(beef, spending.txid(), tracker)
    assert sorted(tracker.asked) == [1, 2, 3]


async def test_an_unknown_root_is_refused() -> None:
    beef, last, tracker = chain_of(2)
    tracker.roots = {HEIGHT: "ab" * 32}
    with pytest.raises(SpvError, match="does not have merkle root") as error:
        await verify(beef, last.txid(), tracker)
    assert error.value.reason is SpvFailure.WRONG_ROOT
    tracker.roots = {}
    with pytest.raises(SpvError):
        await verify(beef, last.txid(), tracker)


async def test_a_tracker_that_cannot_tell_gives_no_verdict() -> None:
    beef, last, _ = chain_of(2)

    class Silent(Tracker):
        async def is_valid_root_for_height(self, root: str, height: int) -> bool:
            raise ServiceUnavailable("headers", "no answer")

    with pytest.raises(ServiceUnavailable):
        await verify(beef, last.txid(), Silent({}))


async def test_one_false_root_is_a_verdict_though_another_is_unknown() -> None:
    beef = Beef()
    mined = [mint(1000, 1), mint(1000, 2)]
    prove(beef, mined[:1], 1)
    prove(beef, mined[1:], 2)
    spending = pay([(each, 0) for each in mined], [5])
    beef.merge_transaction(spending)

    class Half(Tracker):
        async def is_valid_root_for_height(self, root: str, height: int) -> bool:
            if height == 1:
                raise ServiceUnavailable("headers", "no answer")
            return False

    with pytest.raises(SpvError):
        await verify(beef, spending.txid(), Half({}))


def test_an_invented_path_names_a_root_of_its_own() -> None:
    """Nothing here can tell; the root it names is what the chain will deny."""
    _beef, last, tracker = chain_of(1)
    forged = Beef()
    prove(forged, [last], HEIGHT)
    assert check(forged, last.txid()) != tracker.roots


def test_two_roots_for_one_height() -> None:
    beef = Beef()
    one, other = mint(1000, 1), mint(1000, 2)
    prove(beef, [one], HEIGHT)
    prove(beef, [other], HEIGHT)
    spending = pay([(one, 0), (other, 0)], [5])
    beef.merge_transaction(spending)
    assert refused(beef, spending.txid()).reason is SpvFailure.WRONG_ROOT


def test_a_missing_subject() -> None:
    beef, last, _ = chain_of(1)
    assert refused(beef, "ab" * 32).reason is SpvFailure.MISSING_SUBJECT
    beef.make_txid_only(last.txid())
    assert refused(beef, last.txid()).reason is SpvFailure.MISSING_SUBJECT


def test_a_missing_ancestor() -> None:
    beef, last, _ = chain_of(0)
    middle = pay([(last, 0)], [500])
    spending = pay([(middle, 0)], [400])
    beef.merge_transaction(spending)
    error = refused(beef, spending.txid())
    assert (error.reason, error.txid, error.input_index) == (SpvFailure.MISSING_ANCESTOR, spending.txid(), 0)
    assert middle.txid() in str(error)
    assert check(beef, spending.txid(), known={middle.txid(): middle}) == {}
    beef.merge_txid_only(middle.txid())
    assert refused(beef, spending.txid()).reason is SpvFailure.MISSING_ANCESTOR
    assert check(beef, spending.txid(), known={middle.txid(): middle}) == {}


def test_an_output_that_is_not_there() -> None:
    beef, last, _ = chain_of(0)
    spending = Transaction(
        1, [TransactionInput(OutPoint(last.txid(), 1), Script(b"\x51"))], [TransactionOutput(1, LOCK)]
    )
    beef.merge_transaction(spending)
    assert refused(beef, spending.txid()).reason is SpvFailure.MISSING_OUTPUT


@pytest.mark.parametrize("deep", [False, True])
def test_outputs_above_inputs(deep: bool) -> None:
    beef, last, _ = chain_of(0)
    greedy = pay([(last, 0)], [1_000_000_000, 1])
    beef.merge_transaction(greedy)
    subject = greedy
    if deep:
        subject = pay([(greedy, 0)], [5])
        beef.merge_transaction(subject)
    error = refused(beef, subject.txid())
    assert (error.reason, error.txid) == (SpvFailure.OUTPUTS_ABOVE_INPUTS, greedy.txid())


def test_outputs_equal_to_inputs_are_allowed() -> None:
    beef, last, _ = chain_of(0)
    spending = pay([(last, 0)], [1_000_000_000])
    beef.merge_transaction(spending)
    check(beef, spending.txid())


@pytest.mark.parametrize("deep", [False, True])
def test_a_script_that_does_not_unlock(deep: bool) -> None:
    beef, last, _ = chain_of(2)
    stolen = pay([(last, 0)], [1000], key=PrivateKey.from_int(5))
    beef.merge_transaction(stolen)
    subject = stolen
    if deep:
        subject = pay([(stolen, 0)], [5])
        beef.merge_transaction(subject)
    error = refused(beef, subject.txid())
    assert (error.reason, error.txid, error.input_index) == (SpvFailure.SCRIPT, stolen.txid(), 0)
    assert "EQUALVERIFY" in str(error)
    assert error.to_wire()["reason"] == "script"


def test_amounts_are_signed() -> None:
    """A parent that lies about its amounts has another txid, so the signature of the child does not hold."""
    beef, last, _ = chain_of(1)
    parent = beef.transaction(last.inputs[0].outpoint.txid)
    assert parent is not None
    richer = Transaction(1, parent.inputs, [TransactionOutput(2_000_000_000, LOCK)])
    child = Transaction(
        1, [TransactionInput(OutPoint(richer.txid(), 0), last.inputs[0].unlocking_script)], last.outputs
    )
    forged = Beef()
    prove(forged, [richer], HEIGHT)
    forged.merge_transaction(child)
    assert refused(forged, child.txid()).reason is SpvFailure.SCRIPT


def test_an_input_twice() -> None:
    beef, last, _ = chain_of(0)
    twice = pay([(last, 0), (last, 0)], [1_500_000_000])
    beef.merge_transaction(twice)
    error = refused(beef, twice.txid())
    assert error.reason is SpvFailure.INVALID_TRANSACTION
    assert "bad-txns-inputs-duplicate" in str(error)


def test_one_output_spent_by_two_transactions() -> None:
    beef, last, _ = chain_of(0)
    left, right = pay([(last, 0)], [600_000_000]), pay([(last, 0)], [500_000_000])
    both = pay([(left, 0), (right, 0)], [1_100_000_000])
    for each in (left, right, both):
        beef.merge_transaction(each)
    assert refused(beef, both.txid()).reason is SpvFailure.DOUBLE_SPEND
    beef, last, _ = chain_of(0)
    for each in (left, right):
        beef.merge_transaction(each)
    assert refused(beef, left.txid()).reason is SpvFailure.DOUBLE_SPEND


def test_an_output_that_a_proven_transaction_has_spent() -> None:
    beef = Beef()
    source = mint(1000)
    prove(beef, [source], HEIGHT)
    spent = pay([(source, 0)], [900])
    prove(beef, [spent], HEIGHT + 1)
    again = pay([(source, 0)], [800])
    beef.merge_transaction(again)
    assert refused(beef, again.txid()).reason is SpvFailure.DOUBLE_SPEND


def test_transactions_that_break_their_own_rules() -> None:
    beef, last, _ = chain_of(0)
    no_outputs = pay([(last, 0)], [])
    beef.merge_transaction(no_outputs)
    assert refused(beef, no_outputs.txid()).reason is SpvFailure.INVALID_TRANSACTION
    script_hash = pay([(last, 0)], [5], lock=Script(b"\xa9\x14" + bytes(20) + b"\x87"))
    beef, _, _ = chain_of(0)
    beef.merge_transaction(script_hash)
    assert "bad-txns-vout-p2sh" in str(refused(beef, script_hash.txid()))


def test_no_inputs_and_no_proof() -> None:
    beef = Beef()
    nothing = Transaction(1, [], [TransactionOutput(21 * 10**14, LOCK)])
    beef.merge_transaction(nothing)
    assert refused(beef, nothing.txid()).reason is SpvFailure.INVALID_TRANSACTION


def test_coinbases() -> None:
    beef = Beef()
    minted = coinbase(5_000)
    beef.merge_transaction(minted)
    assert refused(beef, minted.txid()).reason is SpvFailure.UNPROVEN_COINBASE
    prove(beef, [minted], HEIGHT)
    spending = pay([(minted, 0)], [4_000])
    beef.merge_transaction(spending)
    check(beef, spending.txid())
    check(beef, spending.txid(), next_height=HEIGHT + 100)
    error = refused(beef, spending.txid(), next_height=HEIGHT + 99)
    assert (error.reason, error.txid) == (SpvFailure.IMMATURE_COINBASE, minted.txid())


async def test_coinbase_maturity_is_looked_up() -> None:
    beef = Beef()
    minted = coinbase(5_000)
    root = prove(beef, [minted], HEIGHT)
    spending = pay([(minted, 0)], [4_000])
    beef.merge_transaction(spending)
    await verify(beef, spending.txid(), Tracker({HEIGHT: root}, HEIGHT + 99))
    with pytest.raises(SpvError, match="immature"):
        await verify(beef, spending.txid(), Tracker({HEIGHT: root}, HEIGHT + 98))


def test_64_bytes_are_no_transaction_in_a_tree() -> None:
    """As an inner node of the tree it would have another depth (§5.3)."""
    small = Transaction(
        1, [TransactionInput(OutPoint("11" * 32, 0), Script())], [TransactionOutput(1, Script(bytes(4)))]
    )
    assert small.size() == 64
    beef = Beef()
    prove(beef, [small], HEIGHT)
    assert refused(beef, small.txid()).reason is SpvFailure.INVALID_PROOF


@pytest.mark.parametrize(("fee", "good"), [(0, False), (18, False), (19, True)])
def test_fees(fee: int, good: bool) -> None:
    beef, last, _ = chain_of(0)
    spending = pay([(last, 0)], [1_000_000_000 - fee])
    assert 190 <= spending.size() <= 192
    beef.merge_transaction(spending)
    check(beef, spending.txid())
    if good:
        check(beef, spending.txid(), fee_rate=100)
    else:
        assert refused(beef, spending.txid(), fee_rate=100).reason is SpvFailure.FEE_TOO_LOW
    check(beef, last.txid(), fee_rate=10**9)  # mined already


def old_and_new(chain: ChainParameters, height: int) -> Beef:
    """An output with OP_2MUL, mined at ``height``, and a transaction that spends it."""
    locking = Script(b"\x51\x8d")
    source = Transaction(1, [TransactionInput(OutPoint("11" * 32, 0), Script())], [TransactionOutput(10, locking)])
    beef = Beef()
    prove(beef, [source], height)
    beef.merge_transaction(
        Transaction(1, [TransactionInput(OutPoint(source.txid(), 0), Script())], [TransactionOutput(5, LOCK)])
    )
    return beef


@pytest.mark.parametrize(
    ("chain", "height", "good"),
    [(MAIN, 943_815, False), (MAIN, 943_816, True), (MAIN, 620_537, False), (MOCK, 5, True), (MAIN, 5, False)],
)
def test_the_height_of_each_output_chooses_its_rules(chain: ChainParameters, height: int, good: bool) -> None:
    beef = old_and_new(chain, height)
    txid = beef.txids()[-1]
    if good:
        check(beef, txid, chain=chain)
    else:
        assert "DISABLED_OPCODE" in str(refused(beef, txid, chain=chain))


def diamonds(count: int) -> tuple[Beef, Transaction]:
    beef = Beef()
    last = mint(10**9, outputs=2)
    prove(beef, [last], HEIGHT)
    for _ in range(count):
        last = pay([(last, 0), (last, 1)], [last.outputs[0].satoshis - 1] * 2)
        beef.merge_transaction(last)
    return beef, last


def test_diamonds_cost_no_more_than_their_size() -> None:
    beef, last = diamonds(60)
    started = time.perf_counter()
    check(beef, last.txid())
    assert time.perf_counter() - started < 2


def test_long_chains_need_no_recursion() -> None:
    beef, last, tracker = chain_of(1500)
    assert check(Beef.from_bytes(beef.to_bytes()), last.txid()) == tracker.roots


def test_the_cost_is_linear() -> None:
    def cost(length: int) -> float:
        beef, last, _ = chain_of(length)
        best = 1e9
        for _ in range(3):
            started = time.process_time()
            check(beef, last.txid())
            best = min(best, time.process_time() - started)
        return best

    assert cost(800) < 8 * 1.8 * cost(100)


def test_the_work_limit_is_for_all_inputs_together() -> None:
    """Each script takes about two milliseconds; a thousand of them must not take a thousand times the limit."""
    slow = Script(b"\x51" + b"\x61" * 2_000)
    mined = Transaction(
        1, [TransactionInput(OutPoint("11" * 32, 0), Script())], [TransactionOutput(10, slow) for _ in range(40)]
    )
    beef = Beef()
    prove(beef, [mined], HEIGHT)
    inputs = [TransactionInput(OutPoint(mined.txid(), vout), Script()) for vout in range(40)]
    beef.merge_transaction(spending := Transaction(1, inputs, [TransactionOutput(5, LOCK)]))
    check(beef, spending.txid())
    error = refused(beef, spending.txid(), limits=replace(POLICY_LIMITS, work=10_000_000))
    assert error.reason is SpvFailure.SCRIPT
    assert "WORK_LIMIT" in str(error)
    check(beef, spending.txid(), limits=replace(POLICY_LIMITS, work=60_000_000))


def test_unrelated_transactions_are_not_judged() -> None:
    beef, last, _ = chain_of(1)
    beef.merge_transaction(pay([(mint(5, 9), 0)], [100]))
    check(beef, last.txid())


def test_data_outputs_and_free_change_pass() -> None:
    beef, last, _ = chain_of(0)
    outputs = [TransactionOutput(0, data.lock(["hello"])), TransactionOutput(999, LOCK)]
    signed = pay([(last, 0)], [0, 999])
    spending = Transaction(1, signed.inputs, outputs)
    beef.merge_transaction(spending)
    assert refused(beef, spending.txid()).reason is SpvFailure.SCRIPT  # the outputs are not those that were signed
    assert p2pkh.decode(LOCK) == KEY.public_key.hash160()


def test_paths_whose_nodes_contradict_one_another() -> None:
    beef, last, _ = chain_of(0)
    path = beef.path_for(last.txid())
    assert path is not None
    raw = bytearray(path.to_bytes())
    raw[-1] ^= 1
    altered = MerklePath.from_bytes(bytes(raw))
    forged = Beef()
    forged.merge_transaction(last)
    forged.merge_path(altered)
    assert check(forged, last.txid()) != check(beef, last.txid())
