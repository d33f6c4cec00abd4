"""Hypothesis strategies for protocol values, shared by the codec, interop and fuzz tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from sdk.core.beef import Beef
from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

u32 = st.integers(0, 0xFFFF_FFFF)
i32 = st.integers(-0x8000_0000, 0x7FFF_FFFF)
txids = st.binary(min_size=32, max_size=32).map(bytes.hex)
scripts = st.one_of(
    st.binary(max_size=120),
    st.sampled_from([252, 253, 254, 0xFFFF, 0x1_0000]).map(bytes),
).map(Script)
outpoints = st.builds(OutPoint, txids, u32)
outputs = st.builds(TransactionOutput, st.integers(0, MAX_SATOSHIS), scripts)
inputs = st.builds(TransactionInput, outpoints, scripts, u32)
vouts = st.one_of(st.integers(0, 5), u32)
inputs_with_sources = st.builds(TransactionInput, st.builds(OutPoint, txids, vouts), scripts, u32, outputs)
transactions = st.builds(Transaction, i32, st.lists(inputs, max_size=4), st.lists(outputs, max_size=4), u32)
extended_transactions = st.builds(
    Transaction, i32, st.lists(inputs_with_sources, min_size=1, max_size=4), st.lists(outputs, max_size=4), u32
)
headers = st.builds(BlockHeader, i32, txids, txids, u32, u32, u32)


@st.composite
def blocks(draw: st.DrawFn, max_size: int = 40) -> list[str]:
    """The txids of a block."""
    return draw(st.lists(txids, min_size=1, max_size=max_size, unique=True))


@st.composite
def paths(draw: st.DrawFn) -> MerklePath:
    """A path for some transactions of a block."""
    block = draw(blocks())
    wanted = draw(st.lists(st.sampled_from(block), min_size=1, max_size=4, unique=True))
    return MerklePath.from_block(draw(u32), block, wanted)


def spend(sources: Sequence[Transaction], salt: int) -> Transaction:
    """A transaction that spends the first output of each source, and has two of its own."""
    return Transaction(
        1,
        [TransactionInput(OutPoint(each.txid(), 0), Script(b"\x51")) for each in sources],
        [TransactionOutput(1000 + salt, Script(b"\x51")), TransactionOutput(1, Script(b"\x00\x6a"))],
    )


@st.composite
def families(draw: st.DrawFn, max_size: int = 12) -> tuple[list[Transaction], int]:
    """Transactions, parents first, and how many at the front have no parent among them."""
    first = draw(st.integers(1, 3))
    family = [
        Transaction(
            1,
            [TransactionInput(OutPoint(draw(txids), draw(st.integers(0, 3))), Script(b"\x51"))],
            [TransactionOutput(5000 + i, Script(b"\x51"))],
        )
        for i in range(first)
    ]
    for salt in range(draw(st.integers(0, max_size - first))):
        picked = draw(st.lists(st.integers(0, len(family) - 1), min_size=1, max_size=3, unique=True))
        family.append(spend([family[i] for i in picked], salt))
    return family, first


@st.composite
def beefs(draw: st.DrawFn) -> Beef:
    """A complete BEEF: the first transactions are proven, in one block or in one each."""
    family, first = draw(families())
    beef = Beef(draw(st.sampled_from([1, 2])))
    if draw(st.booleans()):
        block = draw(blocks(8)) + [each.txid() for each in family[:first]]
        beef.merge_path(MerklePath.from_block(draw(u32), block, block[-first:]))
    else:
        for height, each in enumerate(family[:first]):
            beef.merge_path(MerklePath.from_block(height, [*draw(blocks(8)), each.txid()], [each.txid()]))
    for each in family:
        beef.merge_transaction(each)
    return beef
