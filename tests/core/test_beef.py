from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.beef import V1, V2, Beef
from sdk.core.errors import ParseError
from sdk.core.merkle_path import MerklePath
from sdk.core.merkle_tree import PathLeaf, prune, serialise
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from support.codecs import assert_round_trip, assert_strict
from support.strategies import beefs, families, spend

OTHERS = [f"{i:064x}" for i in range(1, 6)]


def root_transaction(salt: int = 0) -> Transaction:
    return Transaction(
        1, [TransactionInput(OutPoint("aa" * 32, salt), Script(b"\x51"))], [TransactionOutput(5000, Script(b"\x51"))]
    )


def proof(transaction: Transaction, height: int = 100) -> MerklePath:
    return MerklePath.from_block(height, [*OTHERS, transaction.txid()], [transaction.txid()])


def chain(length: int) -> list[Transaction]:
    family = [root_transaction()]
    for salt in range(length - 1):
        family.append(spend(family[-1:], salt))
    return family


def beef_of(family: list[Transaction], *proven: Transaction) -> Beef:
    beef = Beef()
    for each in proven:
        beef.merge_path(proof(each))
    for each in family:
        beef.merge_transaction(each)
    return beef


@given(beefs())
def test_beefs_round_trip(beef: Beef) -> None:
    assert_round_trip(Beef, beef)
    assert Beef.from_bytes(beef.to_bytes()).version == beef.version
    for version in (V1, V2):
        again = Beef.from_bytes(beef.to_bytes(version))
        assert (again.version, again.txids(), again.paths) == (version, beef.txids(), beef.paths)


@given(beefs())
def test_cut_or_lengthened_beefs_are_refused(beef: Beef) -> None:
    assert_strict(Beef.from_bytes, beef.to_bytes())
    assert_strict(Beef.from_bytes, beef.to_atomic(beef.txids()[-1]))


@given(beefs())
def test_complete_beefs_are_valid_and_name_their_roots(beef: Beef) -> None:
    assert beef.validity().reasons == ()
    roots = beef.roots()
    assert set(roots) == {path.block_height for path in beef.paths}
    for txid in beef.txids():
        path = beef.path_for(txid)
        if path is not None:
            assert path.compute_root(txid) == roots[path.block_height]


@given(beefs(), st.randoms(use_true_random=False))
def test_parents_come_before_children_whatever_the_order_of_merging(beef: Beef, random: object) -> None:
    shuffled = list(beef.transactions())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = Beef()
    for transaction in shuffled:
        again.merge_transaction(transaction)
    for path in beef.paths:
        again.merge_path(path)
    order = again.txids()
    assert sorted(order) == sorted(beef.txids())
    for transaction in again.transactions():
        for each in transaction.inputs:
            if each.outpoint.txid in order:
                assert order.index(each.outpoint.txid) < order.index(transaction.txid())
    assert again.validity()


@given(beefs(), beefs())
def test_merging_loses_nothing_and_can_be_done_again(one: Beef, two: Beef) -> None:
    merged = one.copy()
    merged.merge(two.to_bytes())
    assert set(merged.txids()) == set(one.txids()) | set(two.txids())
    before = merged.to_bytes()
    merged.merge(one)
    merged.merge(two)
    assert merged.to_bytes() == before
    assert one.to_bytes() == Beef.from_bytes(one.to_bytes()).to_bytes()


@given(beefs(), st.data())
def test_pruned_to_a_subject_it_holds_what_proves_it_and_no_more(beef: Beef, data: st.DataObject) -> None:
    subject = data.draw(st.sampled_from(beef.txids()))
    atomic = Beef.from_bytes(beef.to_atomic(subject))
    assert atomic.atomic_txid == subject
    assert atomic.txids() == [*beef.ancestors(subject), subject]
    validity = atomic.validity()
    assert validity.valid
    assert validity.unrelated == ()
    assert {txid for path in atomic.paths for txid in path.txids()} <= set(atomic.txids())
    assert set(atomic.roots().items()) <= set(beef.roots().items())


def test_r34_ancestry_ends_at_the_first_proven_transaction() -> None:
    family = chain(6)
    beef = beef_of(family, family[0], family[3])
    assert beef.ancestors(family[5].txid()) == [family[3].txid(), family[4].txid()]
    assert Beef.from_bytes(beef.to_atomic(family[5].txid())).txids() == [each.txid() for each in family[3:]]
    assert beef.trim().txids() == [each.txid() for each in family[3:]]
    assert len(beef.trim().paths) == 1
    assert beef.trim().validity()


def test_trim_keeps_what_nobody_spends_and_drops_known_txids() -> None:
    one, two = root_transaction(1), root_transaction(2)
    child = spend([one, two], 0)
    beef = beef_of([one, child], one)
    beef.merge_txid_only(two.txid())
    assert beef.trim().txids() == beef.txids()
    trimmed = beef.trim([two.txid(), one.txid()])
    assert trimmed.txids() == [one.txid(), child.txid()]
    assert trimmed.validity().missing == (two.txid(),)


def test_txid_only() -> None:
    one = root_transaction()
    child = spend([one], 0)
    beef = beef_of([child])
    beef.merge_txid_only(one.txid())
    assert beef.txids() == [one.txid(), child.txid()]
    assert beef.is_txid_only(one.txid())
    assert beef.transaction(one.txid()) is None
    assert not beef.validity()
    assert beef.validity().txid_only == (one.txid(),)
    assert beef.validity(allow_txid_only=True)
    again = Beef.from_bytes(beef.to_bytes())
    assert again == beef
    with pytest.raises(ValueError, match=f"BEEF V1 cannot hold the txid alone of {one.txid()}"):
        beef.to_bytes(V1)
    again.merge_transaction(one)
    again.merge_path(proof(one))
    assert again.transaction(one.txid()) == one
    assert again.validity()
    again.make_txid_only(one.txid())
    assert again.is_txid_only(one.txid())
    assert again.path_for(one.txid()) is None
    again.merge_txid_only(child.txid())
    assert again.transaction(child.txid()) == child


def test_make_txid_only_ignores_what_is_not_here() -> None:
    beef = Beef()
    beef.make_txid_only(OTHERS[0])
    assert len(beef) == 0
    assert OTHERS[0] not in beef


def test_v1_keeps_its_paths() -> None:
    family = chain(3)
    beef = Beef.from_bytes(beef_of(family, family[0]).to_bytes(V1))
    assert len(beef.paths) == 1
    assert beef.path_for(family[0].txid()) == proof(family[0])
    assert beef.validity()


def test_paths_of_one_block_become_one() -> None:
    one, two = root_transaction(1), root_transaction(2)
    block = [*OTHERS, one.txid(), two.txid()]
    beef = Beef()
    beef.merge_transaction(one)
    beef.merge_transaction(two)
    assert not beef.validity()
    assert beef.merge_path(MerklePath.from_block(9, block, [one.txid()])) == 0
    assert beef.merge_path(MerklePath.from_block(9, block, [two.txid()])) == 0
    assert beef.paths == (MerklePath.from_block(9, block, [one.txid(), two.txid()]),)
    assert beef.path_for(two.txid()) == beef.paths[0]
    assert beef.prune([two.txid()]).paths == (MerklePath.from_block(9, block, [two.txid()]),)


def test_unmarked_leaves_stay_proven_when_paths_are_combined() -> None:
    """Some software does not mark its transactions as of interest."""
    one, two = root_transaction(1), root_transaction(2)
    block = [*OTHERS, one.txid(), two.txid()]
    marked = MerklePath.from_block(9, block, [two.txid()])
    levels = MerklePath.from_block(9, block, [one.txid()]).path
    unmarked = MerklePath(9, [[PathLeaf(leaf.offset, leaf.hash) for leaf in level] for level in levels])
    for first, second in ((marked, unmarked), (unmarked, marked)):
        beef = Beef()
        beef.merge_transaction(one)
        beef.merge_transaction(two)
        beef.merge_path(first)
        beef.merge_path(second)
        again = Beef.from_bytes(beef.to_bytes())
        assert len(again.paths) == 1
        assert again.validity()
        assert again.roots() == {9: marked.compute_root()}


def contradiction(transaction: Transaction) -> MerklePath:
    honest = MerklePath.from_block(100, [transaction.txid(), *OTHERS[:3]], [transaction.txid()])
    return MerklePath(100, [[*honest.path[0], *map(PathLeaf, (2, 3), OTHERS[3:])], honest.path[1]])


def test_a_merge_that_fails_changes_nothing() -> None:
    one, two = root_transaction(1), root_transaction(2)
    beef = beef_of([one], one)
    before = beef.to_bytes()
    paths = proof(two, 7).to_bytes() + contradiction(two).to_bytes()
    for bad in (beef.to_bytes()[:-1], v2(b"\x02", paths, b"\x01\x01\x01", two.to_bytes())):
        with pytest.raises(ParseError):
            beef.merge(bad)
        assert beef.to_bytes() == before


def test_nodes_that_prove_nothing_do_not_spoil_the_paths_they_are_merged_with() -> None:
    """A forger adds a node that his own path does not need, where another's path needs the real one."""
    one, two = root_transaction(1), root_transaction(2)
    block = [one.txid(), *OTHERS[:4], two.txid(), *OTHERS[4:]]
    honest = MerklePath.from_block(9, block, [two.txid()])
    levels = [list(level) for level in MerklePath.from_block(9, block, [one.txid()]).path]
    needed = honest.path[1][0]
    assert needed.offset == 3
    levels[1].append(PathLeaf(needed.offset, OTHERS[0]))
    spoiled = serialise(9, levels)
    for order in ((honest.to_bytes(), spoiled), (spoiled, honest.to_bytes())):
        beef = Beef()
        for path in order:
            beef.merge(v2(b"\x01", path, b"\x00"))
        beef.merge_transaction(one)
        beef.merge_transaction(two)
        assert len(beef.paths) == 1
        assert beef.validity()
        assert beef.roots() == {9: honest.compute_root()}


def test_an_inner_node_passed_off_as_a_transaction_combines_with_nothing() -> None:
    one = root_transaction()
    block = [one.txid(), *OTHERS[:3]]
    honest = MerklePath.from_block(9, block, [one.txid()])
    inner = honest.path[1][0]
    assert inner.hash is not None
    left = MerklePath.from_block(9, block[:2], block[:1]).compute_root()
    short = MerklePath(9, [[PathLeaf(0, left), PathLeaf(1, inner.hash, True)]])
    assert short.compute_root() == honest.compute_root()
    assert (short.tree_height, honest.tree_height) == (1, 2)
    beef = Beef()
    beef.merge_path(honest)
    beef.merge_path(short)
    beef.merge_transaction(one)
    assert len(beef.paths) == 2
    assert Beef.from_bytes(beef.to_bytes()).validity()


def test_thousands_of_paths_merge_in_one_pass() -> None:
    """Many transactions of one block, each with a path of its own, and many blocks."""
    transactions = [root_transaction(salt) for salt in range(2_000)]
    block = [each.txid() for each in transactions]
    started = time.process_time()
    beef = Beef()
    for height, each in enumerate(transactions):
        beef.merge_path(MerklePath.from_block(height + 1, [*OTHERS, each.txid()], [each.txid()]))
        beef.merge_transaction(each)
    again = Beef()
    again.merge(beef)
    assert again == beef
    for height, each in enumerate(transactions):
        path = again.path_for(each.txid())
        assert path is not None
        assert path.block_height == height + 1
    whole = MerklePath.from_block(1, block, block)
    levels = whole._all_levels()
    same = Beef()
    for offset, each in enumerate(transactions):
        same.merge_path(MerklePath(1, prune(levels, {offset: each.hash()})))
        same.merge_transaction(each)
    assert same.paths == (whole,)
    assert same.validity()
    assert time.process_time() - started < 20


def test_two_roots_for_one_height_never_hold() -> None:
    one, two = root_transaction(1), root_transaction(2)
    beef = beef_of([one, two], one, two)
    assert len(beef.paths) == 2
    with pytest.raises(ParseError, match="two merkle roots for height 100"):
        beef.roots()
    assert beef.validity().reasons == ("BUMP 1 names a second merkle root for height 100",)


def test_missing_ancestors_are_named() -> None:
    family = chain(4)
    validity = beef_of(family[2:]).validity()
    assert validity.missing == (family[1].txid(),)
    assert validity.unproven == (family[2].txid(), family[3].txid())
    assert validity.reasons == (f"transaction {family[1].txid()}, spent by {family[2].txid()}, is missing",)


def test_outputs_that_do_not_exist_cannot_be_spent() -> None:
    one = root_transaction()
    child = Transaction(1, [TransactionInput(OutPoint(one.txid(), 1), Script())], [])
    (reason,) = beef_of([one, child], one).validity().reasons
    assert reason == f"input 0 of {child.txid()} spends output 1 of {one.txid()}, which has 1"


def test_a_transaction_without_inputs_needs_a_proof() -> None:
    orphan = Transaction(1, [], [TransactionOutput(5, Script())])
    assert beef_of([orphan]).validity().reasons == (f"transaction {orphan.txid()} has no input and no proof",)
    assert beef_of([orphan], orphan).validity()


def test_64_byte_transactions_are_no_leaves() -> None:
    small = Transaction(
        1, [TransactionInput(OutPoint("aa" * 32, 0), Script())], [TransactionOutput(5, Script(bytes(4)))]
    )
    assert small.size() == 64
    (reason,) = beef_of([small], small).validity().reasons
    assert "64 bytes" in reason


def test_contradicting_paths_are_a_reason() -> None:
    one = root_transaction()
    forged = contradiction(one)
    beef = Beef.from_bytes(v2(b"\x01", forged.to_bytes(), b"\x01\x01\x00", one.to_bytes()))
    assert beef.validity().reasons == ("BUMP 0: node 1 at level 1 is not what lies below it",)
    with pytest.raises(ParseError, match="not what lies below"):
        beef.roots()
    with pytest.raises(ParseError, match="not what lies below"):
        Beef().merge_path(forged)


def test_sources_are_attached() -> None:
    one, two = root_transaction(1), root_transaction(2)
    child = spend([one, two], 0)
    beef = beef_of([one, child], one)
    found = beef.transaction_with_sources(child.txid())
    assert found is not None
    assert [each.source_output for each in found.inputs] == [one.outputs[0], None]
    assert beef.transaction_with_sources(two.txid()) is None


def v2(*parts: bytes) -> bytes:
    return b"\x02\x00\xbe\xef" + b"".join(parts)


RAW = root_transaction().to_bytes()
PATH = proof(root_transaction()).to_bytes()


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "must begin with", 0),
        (b"\x03\x00\xbe\xef\x00\x00", "must begin with", 0),
        (b"\x01\x01\x01\x01" + bytes(32) + b"\x03\x00\xbe\xef\x00\x00", "must begin with", 36),
        (b"\x01\x01\x01\x01" + bytes(32) + v2(b"\x00\x00"), "the subject 0000", 4),
        (b"\x01\x01\x01\x01" + bytes(32) + v2(b"\x00\x01\x02", bytes(32)), "the subject 0000", 4),
        (v2(b"\xff" + b"\xff" * 8), "BUMPs cannot fit", 4),
        (v2(b"\x00\xfe\xff\xff\xff\xff"), "transactions cannot fit", 5),
        (v2(b"\x00\x01\x03" + RAW), "at most 2, is 3", 6),
        (v2(b"\x00\x01\x01\x00" + RAW), "BUMP 0 is named, there are 0", 7),
        (v2(b"\x00\x02\x00", RAW, b"\x00", RAW), "stands in it twice", 7 + len(RAW)),
        (v2(b"\x00\x02\x00", RAW, b"\x02", root_transaction().hash()), "stands in it twice", 7 + len(RAW)),
        (v2(b"\x01", PATH, b"\x01\x01\x00", root_transaction(1).to_bytes()), "BUMP 0 does not hold", 6 + len(PATH)),
        (b"\x01\x00\xbe\xef\x00\x01" + RAW + b"\x02", "at most 1, is 2", 6 + len(RAW)),
    ],
)
def test_bad_bytes_are_refused_where_they_stand(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(ParseError, match=reason) as error:
        Beef.from_bytes(data)
    assert error.value.offset == offset


def test_a_parsed_beef_keeps_an_order_that_is_not_sorted() -> None:
    one = root_transaction()
    child = spend([one], 0)
    data = v2(b"\x01", PATH, b"\x02\x00", child.to_bytes(), b"\x01\x00", one.to_bytes())
    beef = Beef.from_bytes(data)
    assert beef.to_bytes() == data
    assert beef.validity()
    assert beef.ancestors(child.txid()) == [one.txid()]
    assert Beef.from_bytes(beef.to_atomic(child.txid())).txids() == [one.txid(), child.txid()]


def test_unrelated_transactions_of_an_atomic_beef_are_named() -> None:
    one, other = root_transaction(1), root_transaction(2)
    beef = beef_of([one, other], one)
    data = b"\x01\x01\x01\x01" + one.hash() + beef.to_bytes()
    validity = Beef.from_bytes(data).validity()
    assert validity.unrelated == (other.txid(),)
    assert not validity.valid


def test_subjects_must_be_here_in_full() -> None:
    beef = Beef()
    beef.merge_txid_only(OTHERS[0])
    with pytest.raises(ParseError, match="not among its transactions"):
        beef.to_atomic(OTHERS[0])
    with pytest.raises(ParseError, match="not among its transactions"):
        beef.prune([OTHERS[1]])


def test_versions() -> None:
    assert Beef().to_hex() == "0200beef0000"
    assert Beef(V1).to_hex() == "0100beef0000"
    with pytest.raises(ValueError, match="version 1 or 2"):
        Beef(3)


def test_equal_beefs() -> None:
    family = chain(2)
    assert beef_of(family, family[0]) == beef_of(family, family[0])
    assert beef_of(family) != beef_of(family, family[0])
    assert beef_of(family) != 5


@given(families())
def test_merging_a_path_before_or_after_the_transaction_is_the_same(family: tuple[list[Transaction], int]) -> None:
    transactions, first = family
    before, after = Beef(), Beef()
    for each in transactions[:first]:
        before.merge_path(proof(each, transactions.index(each)))
    for each in transactions:
        before.merge_transaction(each)
        after.merge_transaction(each)
    for each in transactions[:first]:
        after.merge_path(proof(each, transactions.index(each)))
    assert before == after


def diamonds(levels: int) -> list[Transaction]:
    """Two transactions a level, each spending both of the level below: 2^levels paths to the root."""
    family = [root_transaction()]
    left = right = family[0]
    for level in range(levels):
        left, right = spend([left, right], 2 * level), spend([left, right], 2 * level + 1)
        family += (left, right)
    return family


def test_long_chains_and_diamonds_cost_no_more_than_their_size() -> None:
    for family in (chain(10_000), diamonds(5_000)):
        beef = beef_of([family[0], *reversed(family[1:])], family[0])
        started = time.process_time()
        assert beef.validity()
        assert len(beef.ancestors(family[-1].txid())) >= 9_999
        again = Beef.from_bytes(beef.to_atomic(family[-1].txid()))
        assert len(again) >= 10_000
        assert again.validity()
        assert len(again.trim()) == len(again)
        assert time.process_time() - started < 20


def test_a_large_beef_takes_less_than_six_times_its_bytes() -> None:
    data = beef_of(family := chain(10_000), family[0]).to_bytes()
    del family
    tracemalloc.start()
    beef = Beef.from_bytes(data)
    beef.roots()
    assert beef.validity()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 6 * len(data)
