"""Transactions, paths, BEEF and script text, against @bsv/sdk and bsv-sdk on random values.

Where a peer differs on purpose or by defect, the difference is named in ``docs/differences.md`` and asserted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.core.beef import V2, Beef
from sdk.core.errors import ParseError
from sdk.core.merkle_path import MerklePath
from sdk.core.merkle_tree import PathLeaf
from sdk.core.script import Script
from sdk.core.transaction import Transaction
from support.peers import Peer, PeerError
from support.strategies import beefs, blocks, extended_transactions, paths, transactions

if TYPE_CHECKING:
    from collections.abc import Iterator

some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("core") as peer:
        yield peer


@pytest.fixture(scope="module")
def python() -> Iterator[Peer]:
    with Peer.python("core") as peer:
        yield peer


def shown(transaction: Transaction) -> dict[str, Any]:
    return {
        "txid": transaction.txid(),
        "version": transaction.version & 0xFFFFFFFF,  # both peers read it unsigned
        "lock_time": transaction.lock_time,
        "inputs": [
            [each.outpoint.txid, each.outpoint.vout, each.unlocking_script.to_hex(), each.sequence]
            for each in transaction.inputs
        ],
        "outputs": [[each.satoshis, each.locking_script.to_hex()] for each in transaction.outputs],
        "hex": transaction.to_hex(),
    }


@some
@given(transactions)
def test_node_reads_and_writes_transactions_alike(node: Peer, transaction: Transaction) -> None:
    assert node.call("transaction", hex=transaction.to_hex()) == shown(transaction)


@some
@given(transactions)
def test_python_reads_and_writes_transactions_alike(python: Peer, transaction: Transaction) -> None:
    assert python.call("transaction", hex=transaction.to_hex()) == shown(transaction)


@some
@given(extended_transactions)
def test_node_reads_and_writes_the_extended_format_alike(node: Peer, transaction: Transaction) -> None:
    if any(each.outpoint.vout > 1000 for each in transaction.inputs):
        return  # the peer makes an array of that many outputs, and dies of it
    theirs = node.call("extended", hex=transaction.to_extended().hex())
    assert theirs["hex"] == transaction.to_hex()
    assert theirs["extended"] == transaction.to_extended().hex()
    assert theirs["sources"] == [
        [each.source_output.satoshis, each.source_output.locking_script.to_hex()]
        for each in transaction.inputs
        if each.source_output is not None
    ]


@pytest.mark.parametrize("peer", ["node", "python"])
@some
@given(path=paths())
def test_paths_read_alike_and_lead_to_one_root(request: pytest.FixtureRequest, peer: str, path: MerklePath) -> None:
    if peer == "python" and path.path == ((PathLeaf(0, path.txids()[0], True),),):
        with pytest.raises(PeerError, match="Missing hash"):  # it has no single-transaction blocks
            request.getfixturevalue(peer).call("path", hex=path.to_hex())
        return
    theirs = request.getfixturevalue(peer).call("path", hex=path.to_hex())
    assert theirs == {"height": path.block_height, "root": path.compute_root(), "hex": path.to_hex()}


@some
@given(blocks(), st.data())
def test_node_extracts_and_combines_alike(node: Peer, block: list[str], data: st.DataObject) -> None:
    one, two = (data.draw(st.lists(st.sampled_from(block), min_size=1, max_size=3, unique=True)) for _ in range(2))
    whole = MerklePath.from_block(5, block, one + two)
    # It leaves the mark of interest on a sibling that had one.
    theirs = MerklePath.from_hex(node.call("extract", hex=whole.to_hex(), txids=one))
    assert theirs.extract(one) == whole.extract(one)
    assert theirs.compute_root() == whole.compute_root()
    left, right = whole.extract(one), whole.extract(two)
    assert node.call("combine", one=left.to_hex(), two=right.to_hex()) == left.combine(right).to_hex() == whole.to_hex()


@pytest.mark.parametrize("peer", ["node", "python"])
@some
@given(beef=beefs(), atomic=st.booleans())
def test_beefs_read_alike(request: pytest.FixtureRequest, peer: str, beef: Beef, atomic: bool) -> None:
    if peer == "python":
        beef = Beef.from_bytes(beef.to_bytes(V2))  # of V1 it drops the paths and the parents
        if any(len(path.path) == 1 == len(path.path[0]) for path in beef.paths):
            return  # it has no single-transaction blocks
    subject = beef.txids()[-1]
    data = beef.to_atomic(subject) if atomic else beef.to_bytes()
    ours = Beef.from_bytes(data)
    theirs = request.getfixturevalue(peer).call("beef", hex=data.hex())
    assert theirs["txids"] == sorted(ours.txids())
    assert theirs["atomic"] == (subject if atomic else None)
    assert theirs["valid"] is True
    assert {int(height): root for height, root in theirs["roots"].items()} == ours.roots()


@some
@given(beefs(), beefs())
def test_we_read_what_node_merged(node: Peer, one: Beef, two: Beef) -> None:
    theirs = Beef.from_hex(
        node.call(
            "merge",
            beefs=[two.to_hex()],
            paths=[path.to_hex() for path in one.paths],
            transactions=[each.to_hex() for each in one.transactions()],
        )
    )
    ours = one.copy()
    ours.merge(two)
    assert sorted(theirs.txids()) == sorted(ours.txids())
    assert theirs.validity().valid == ours.validity().valid
    assert {path.to_bytes() for path in theirs.paths} == {path.to_bytes() for path in ours.paths}
    subject = ours.txids()[-1]
    atomic = Beef.from_hex(node.call("atomic", hex=ours.to_hex(), txid=subject))
    assert atomic.atomic_txid == subject
    assert set(Beef.from_bytes(ours.to_atomic(subject)).txids()) <= set(atomic.txids())


@some
@given(beefs(), st.data())
def test_node_calls_the_same_beefs_incomplete(node: Peer, beef: Beef, data: st.DataObject) -> None:
    """One transaction is left out, or known by its txid alone."""
    gone = data.draw(st.sampled_from(beef.txids()))
    partial = Beef(2)
    for path in beef.paths:
        partial.merge_path(path)
    for transaction in beef.transactions():
        if transaction.txid() != gone:
            partial.merge_transaction(transaction)
    if data.draw(st.booleans()):
        partial.merge_txid_only(gone)
    theirs = node.call("beef", hex=partial.to_hex())
    assert theirs["strictly"] == partial.validity().valid
    assert theirs["valid"] == partial.validity(allow_txid_only=True).valid


@some
@given(paths(), st.data())
def test_what_we_accept_of_a_damaged_path_node_accepts_too(node: Peer, path: MerklePath, data: st.DataObject) -> None:
    raw = bytearray(path.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        ours = MerklePath.from_bytes(raw).compute_root()
    except ParseError:
        return
    assert node.call("path", hex=raw.hex())["root"] == ours


@pytest.mark.parametrize("peer", ["node", "python"])
@some
@given(transaction=transactions, data=st.data())
def test_what_we_accept_of_a_damaged_transaction_the_peers_read_alike(
    request: pytest.FixtureRequest, peer: str, transaction: Transaction, data: st.DataObject
) -> None:
    raw = bytearray(transaction.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        ours = Transaction.from_bytes(raw)
    except ParseError:
        return
    if any(not 0 <= each.satoshis < 1 << 53 for each in ours.outputs):
        return  # a JavaScript number cannot hold it
    assert request.getfixturevalue(peer).call("transaction", hex=raw.hex()) == shown(ours)


@some
@given(st.binary(max_size=60).map(Script))
def test_node_assembles_what_we_disassemble(node: Peer, script: Script) -> None:
    if not script.data or any(word in script.to_asm() for word in ("[error]", "OP_UNKNOWN", "OP_PUSHDATA")):
        return  # of no words it makes OP_0, and the others it does not read
    assert node.call("assemble", asm=script.to_asm()) == script.to_hex()


def test_peers_refuse_what_we_refuse(node: Peer) -> None:
    with pytest.raises(PeerError):
        node.call("path", hex="0501")
    with pytest.raises(PeerError):
        node.call("beef", hex="0300beef0000")
