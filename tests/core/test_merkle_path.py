from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core import bump, merkle_tree
from sdk.core.encodings import hash256, varint
from sdk.core.errors import ParseError
from sdk.core.merkle_path import MerklePath, merkle_root
from sdk.core.merkle_tree import PathLeaf
from support.codecs import assert_round_trip, assert_strict
from support.strategies import blocks, paths

if TYPE_CHECKING:
    from collections.abc import Sequence


def name(number: int) -> str:
    return f"{number:064x}"


BLOCK = [name(i) for i in range(1, 14)]


def plain_root(txids: Sequence[str]) -> str:
    """The merkle root as the node's text describes it, written with no care for speed."""
    level = [bytes.fromhex(each)[::-1] for each in txids]
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [hash256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0][::-1].hex()


def refused(height: int, path: Sequence[Sequence[PathLeaf]]) -> str:
    with pytest.raises(ParseError) as error:
        MerklePath(height, path)
    return error.value.reason


@given(paths())
def test_paths_round_trip(path: MerklePath) -> None:
    assert_round_trip(MerklePath, path)
    assert_strict(MerklePath.from_bytes, path.to_bytes())
    assert MerklePath(path.block_height, path.path) == path
    assert pickle.loads(pickle.dumps(path)) == path


@given(blocks(), st.data())
def test_every_transaction_of_a_block_leads_to_its_root(block: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(block), min_size=1, unique=True))
    root = plain_root(block)
    assert merkle_root(block) == root
    path = MerklePath.from_block(7, block, wanted)
    assert path.compute_root() == root
    assert path.txids() == sorted(wanted, key=block.index)
    for txid in wanted:
        assert path.contains(txid)
        assert path.offset(txid) == block.index(txid)
        assert MerklePath.from_bytes(path.to_bytes()).compute_root(txid) == root


@given(blocks(), st.data())
def test_combine_undoes_extract(block: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(block), min_size=1, unique=True))
    whole = MerklePath.from_block(7, block, wanted)
    parts = [whole.extract([txid]) for txid in wanted]
    assert parts == [MerklePath.from_block(7, block, [txid]) for txid in wanted]
    combined = parts[0]
    for part in parts[1:]:
        combined = combined.combine(part)
    assert combined == whole == whole.trim()
    assert whole.combine(parts[0]) == whole


@given(blocks(), st.data())
def test_tsc_proofs_convert_both_ways(block: list[str], data: st.DataObject) -> None:
    txid = data.draw(st.sampled_from(block))
    path = MerklePath.from_block(7, block, [txid])
    index, nodes = path.to_tsc(txid)
    assert index == block.index(txid)
    assert MerklePath.from_tsc(7, txid, index, nodes) == path
    assert MerklePath.from_block(7, block, block).to_tsc(txid) == (index, nodes)


def test_tsc_repeats_a_node_by_star_or_by_its_hash() -> None:
    block = BLOCK[:5]
    txid = block[4]
    path = MerklePath.from_block(7, block, [txid])
    above = merkle_root([txid, name(99)])  # not used by the proof, only a hash of the right size
    index, nodes = path.to_tsc(txid)
    assert (index, nodes[:2]) == (4, ["*", "*"])
    spelled = [txid, hash256(bytes.fromhex(txid)[::-1] * 2)[::-1].hex(), nodes[2]]
    assert MerklePath.from_tsc(7, txid, index, spelled) == path
    with pytest.raises(ParseError, match="on the left"):
        MerklePath.from_tsc(7, txid, 5, ["*", "*", above])
    with pytest.raises(ParseError, match="index 8 does not fit"):
        MerklePath.from_tsc(7, txid, 8, nodes)


@given(st.integers(2, 40), st.data())
def test_the_quick_reader_and_the_general_one_agree(size: int, data: st.DataObject) -> None:
    """A path for one pair, with one thing in it changed at random: both say yes to the same ones."""
    block = [name(i + 1) for i in range(size)]
    path = MerklePath.from_block(7, block, [data.draw(st.sampled_from(block))])
    raw = bytearray(path.to_bytes())
    at = data.draw(st.integers(1, len(raw) - 1))
    raw[at] = data.draw(st.integers(1, 64) if at == 1 else st.integers(0, 255))
    quick = bump.read_pair(bytes(raw), 2, raw[1])
    try:
        levels, end = bump.read_levels(bytes(raw), 2, raw[1])
        merkle_tree.check_shape(levels, 0)
    except ParseError:
        assert quick is None
    else:
        if quick is not None:
            assert quick[2] == end
            assert MerklePath.from_bytes(bytes(raw[:end])).compute_root() == (
                (merkle_tree.complete(levels)[-1][0] or b"")[::-1].hex()
            )


def test_a_single_transaction_is_its_blocks_root() -> None:
    path = MerklePath.from_block(1234, [BLOCK[0]], [BLOCK[0]])
    assert path.path == ((PathLeaf(0, BLOCK[0], True),),)
    assert path.compute_root(BLOCK[0]) == BLOCK[0]
    assert path.to_tsc(BLOCK[0]) == (0, [])
    assert path.combine(path) == path
    assert refused(1, [[PathLeaf(1, BLOCK[0], True)]]) == "a path of one node must be the only transaction of its block"


def test_r53_single_transaction_blocks_are_not_paired_with_themselves() -> None:
    """Some services give the transaction a duplicate of itself: no block has that root."""
    reason = refused(1, [[PathLeaf(0, BLOCK[0], True), PathLeaf(1, None)]])
    assert reason == "no block has transactions at these offsets"


def test_the_whole_block_may_stand_at_the_lowest_level() -> None:
    for size in range(2, 14):
        block = BLOCK[:size]
        path = MerklePath(7, [[PathLeaf(i, txid, True) for i, txid in enumerate(block)]])
        assert path.compute_root(block[-1]) == merkle_root(block)
        assert path.extract([block[-1]]) == MerklePath.from_block(7, block, [block[-1]])
    assert refused(7, [[PathLeaf(i, BLOCK[i], True) for i in (0, 1, 3)]]) == "node 2 at level 0 is missing"


def test_cve_2012_2459_blocks_that_repeat_their_tail() -> None:
    for size in (3, 5, 6, 7, 11):
        block = BLOCK[:size]
        for repeat in (1, 2, 4):
            if size % (2 * repeat) == repeat or (size == 6 and repeat == 2):
                forged = block + block[-repeat:]
                assert plain_root(forged) == plain_root(block)
                with pytest.raises(ParseError, match="CVE-2012-2459"):
                    merkle_root(forged)
                with pytest.raises(ParseError, match="CVE-2012-2459"):
                    MerklePath.from_block(1, forged, [forged[-1]])


def forged_path(block: Sequence[str], offset: int) -> list[list[PathLeaf]]:
    """The path of one leaf of a block, built without any check."""
    level = [bytes.fromhex(each)[::-1] for each in block]
    path: list[list[PathLeaf]] = []
    at = offset
    while len(level) > 1:
        sibling = level[at ^ 1][::-1].hex()
        row = [PathLeaf(at ^ 1, sibling)]
        path.append(row if path else sorted((*row, PathLeaf(at, block[offset], True))))
        level = [hash256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        at >>= 1
    return path


@pytest.mark.parametrize("offset", range(4, 8))
def test_cve_2012_2459_paths_into_a_repeated_tail(offset: int) -> None:
    """Eight leaves of which the last two repeat the two before: the same root as the block of six."""
    forged = [*BLOCK[:6], *BLOCK[4:6]]
    path = MerklePath(1, forged_path(forged, offset))
    with pytest.raises(ParseError, match="CVE-2012-2459"):
        path.compute_root()


def test_cve_2012_2459_at_the_lowest_level() -> None:
    assert refused(1, forged_path([*BLOCK[:3], BLOCK[2]], 3)) == "one transaction stands at two offsets"


def test_one_transaction_at_two_offsets() -> None:
    assert refused(1, [[PathLeaf(i, BLOCK[i % 2], True) for i in range(4)]]) == "one transaction stands at two offsets"


def test_nodes_that_contradict_one_another() -> None:
    block = BLOCK[:4]
    path = [[PathLeaf(i, txid, True) for i, txid in enumerate(block)], [PathLeaf(1, name(77))]]
    with pytest.raises(ParseError, match="node 1 at level 1 is not what lies below it"):
        MerklePath(1, path).compute_root()
    path[1] = [PathLeaf(1, merkle_root(block[2:]))]
    assert MerklePath(1, path).compute_root() == merkle_root(block)


def test_nodes_that_can_be_computed_may_be_given() -> None:
    path = MerklePath.from_block(1, BLOCK[:4], [BLOCK[0]]).path
    wider = MerklePath(1, [path[0], sorted((*path[1], PathLeaf(0, merkle_root(BLOCK[:2]))))])
    assert wider.compute_root() == merkle_root(BLOCK[:4])
    assert wider.trim() == MerklePath.from_block(1, BLOCK[:4], [BLOCK[0]])


TWO_REPEATS = "a second duplicate at one level, where only the last node repeats"
NO_BLOCK = "no block has transactions at these offsets"
A, B, C = (name(i) for i in (21, 22, 23))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ([], "tree height must be from 1 to 64, is 0"),
        ([[PathLeaf(0, A, True)]] * 65, "tree height must be from 1 to 64, is 65"),
        ([[]], "has no transaction"),
        ([[], [PathLeaf(0, A)]], "has no transaction"),
        ([[PathLeaf(1, None)]], "has no transaction"),
        ([[PathLeaf(0, A, True)], [PathLeaf(1, B)]], "node 1 at level 0 is missing"),
        ([[PathLeaf(0, A, True), PathLeaf(1, B)], []], "node 1 at level 1 is missing"),
        ([[PathLeaf(0, A, True), PathLeaf(0, B)]], "offset 0 stands twice at level 0"),
        ([[PathLeaf(0, None), PathLeaf(1, A, True)]], "node 0 at level 0 has no left neighbour to repeat"),
        ([[PathLeaf(0, A, True), PathLeaf(1, B), PathLeaf(3, None)]], "node 3 at level 0 has no left neighbour to repeat"),  # noqa: E501
        ([[PathLeaf(0, A, True), PathLeaf(1, None), PathLeaf(3, None)]], TWO_REPEATS),
        ([[PathLeaf(0, A, True), PathLeaf(1, B)], [PathLeaf(2, C)]], "node 2 at level 1 proves nothing"),
        ([[PathLeaf(0, A, True), PathLeaf(1, B)], [PathLeaf(1, C), PathLeaf(3, C)]], "node 3 at level 1 proves nothing"),  # noqa: E501
        ([[PathLeaf(4, A, True), PathLeaf(5, B)], [PathLeaf(3, C)]], "node 0 at level 2 is missing"),
        ([[PathLeaf(2, A, True), PathLeaf(3, None)], [PathLeaf(0, C)], [PathLeaf(1, C)]], NO_BLOCK),
        ([[PathLeaf(0, A, True), PathLeaf(1, B)], [PathLeaf(1, None)]], NO_BLOCK),
        ([[PathLeaf(0, A, True), PathLeaf(1, B), PathLeaf(1 << 64, C)]], f"offset {1 << 64} does not have 64 bits"),
    ],
)  # fmt: skip
def test_shapes_no_block_has(path: list[list[PathLeaf]], reason: str) -> None:
    assert refused(1, path) == reason


def test_useless_nodes_pass_where_they_are_allowed() -> None:
    path = [[PathLeaf(0, A, True), PathLeaf(1, B)], [PathLeaf(1, C)], [PathLeaf(1, C)]]
    data = merkle_tree.serialise(5, [path[0], [*path[1], PathLeaf(3, name(5))], path[2]])
    with pytest.raises(ParseError, match="proves nothing"):
        MerklePath.from_bytes(data)
    read, end = MerklePath.read(data, 0, useless_nodes=True)
    assert end == len(data)
    assert read.to_bytes() == data
    assert read.compute_root() == MerklePath(5, path).compute_root()
    assert read.trim() == MerklePath(5, path)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (varint(1 << 32) + b"\x01\x01\x00\x02" + bytes(32), 0),
        (b"\xfe\x00\x00\x00\x00\x01\x01\x00\x02" + bytes(32), 0),  # height 0 in five bytes
        (b"\x05\x00", 1),
        (b"\x05\x41", 1),
        (b"\x05\x01\xff" + b"\xff" * 8, 2),  # 2^64-1 nodes
        (b"\x05\x01\x01\x00\x03" + bytes(32), 4),
        (b"\x05\x01\x01\xfd\x00\x00\x02" + bytes(32), 3),
    ],
)
def test_bad_bytes_are_refused_where_they_stand(data: bytes, offset: int) -> None:
    with pytest.raises(ParseError) as error:
        MerklePath.from_bytes(data)
    assert error.value.offset == offset


def test_unknown_txids_are_refused() -> None:
    path = MerklePath.from_block(1, BLOCK, BLOCK[:2])
    assert not path.contains(name(99))
    for ask in (path.compute_root, path.offset, path.to_tsc, lambda txid: path.extract([txid])):
        with pytest.raises(ParseError, match="not one of its transactions"):
            ask(name(99))
    with pytest.raises(ParseError, match="at least one txid"):
        path.extract([])
    with pytest.raises(ParseError, match="not one of its transactions"):
        MerklePath.from_block(1, BLOCK, [name(99)])
    with pytest.raises(ParseError, match="has no transaction"):
        merkle_root([])
    with pytest.raises(ParseError, match="64 hex characters"):
        path.contains("ab")


def test_paths_of_different_blocks_do_not_combine() -> None:
    path = MerklePath.from_block(1, BLOCK, BLOCK[:1])
    with pytest.raises(ParseError, match="heights 1 and 2"):
        path.combine(MerklePath.from_block(2, BLOCK, BLOCK[:1]))
    with pytest.raises(ParseError, match="different roots"):
        path.combine(MerklePath.from_block(1, BLOCK[::-1], BLOCK[:1]))


@pytest.mark.parametrize("height", [-1, 1 << 32])
def test_block_heights_have_32_bits(height: int) -> None:
    assert refused(height, [[PathLeaf(0, A, True)]]) == f"block height must have 32 bits, is {height}"


def test_a_large_block() -> None:
    block = [hash256(i.to_bytes(4, "little")).hex() for i in range(20_001)]
    path = MerklePath.from_block(1, block, block[::100])
    assert path.compute_root() == merkle_root(block)
    assert path.extract(block[20_000:]).compute_root(block[20_000]) == merkle_root(block)
