"""Fuzz targets: every parser of ``sdk.core``'s protocol types."""

from __future__ import annotations

from functools import cache

from sdk.core.beef import Beef
from sdk.core.chain import CHAINS
from sdk.core.errors import ParseError
from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from support.fuzzing import Target
from support.strategies import spend


@cache
def family() -> tuple[Transaction, ...]:
    first = [
        Transaction(
            1 + i,
            [TransactionInput(OutPoint(f"{i + 1:02x}" * 32, i), Script(bytes(size)), 0xFFFFFFFF - i)],
            [
                TransactionOutput(
                    5000 + i, Script.from_asm("OP_DUP OP_HASH160 " + "11" * 20 + " OP_EQUALVERIFY OP_CHECKSIG")
                )
            ],
        )
        for i, size in enumerate((0, 107, 300))
    ]
    child = spend(first, 1)
    return (*first, child, spend([child, first[0]], 2), Transaction())


@cache
def known_paths() -> tuple[MerklePath, ...]:
    txids = [each.txid() for each in family()] + [f"{i:064x}" for i in range(1, 8)]
    return (
        MerklePath.from_block(1, txids[:1], txids[:1]),
        MerklePath.from_block(300, txids, txids[:3]),
        MerklePath.from_block(70_000, txids[:5], txids[4:5]),
        MerklePath.from_block(850_000, txids, txids),
        MerklePath.from_block(850_000, [*txids, *(f"{i:064x}" for i in range(100, 400))], txids[:1]),
    )


@cache
def known_beefs() -> tuple[bytes, ...]:
    beef = Beef()
    beef.merge_path(known_paths()[1])
    for each in family()[:5]:
        beef.merge_transaction(each)
    partial = beef.copy()
    partial.make_txid_only(family()[1].txid())
    return beef.to_bytes(1), beef.to_bytes(2), beef.to_atomic(family()[4].txid()), partial.to_bytes(), Beef().to_bytes()


def extended() -> list[bytes]:
    beef = Beef.from_bytes(known_beefs()[1])
    found = [beef.transaction_with_sources(each.txid()) for each in family()[3:5]]
    return [each.to_extended() for each in found if each is not None]


def look_at_transaction(transaction: Transaction) -> None:
    parts = transaction.version, transaction.inputs, transaction.outputs, transaction.lock_time
    assert [each.outpoint for each in parts[1]] == [
        OutPoint(digest[::-1].hex(), vout) for digest, vout in transaction.sources()
    ]
    assert transaction.output_count() == len(parts[2])
    for output in parts[2]:
        look_at_script(output.locking_script)
    repr(transaction)


def look_at_script(script: Script) -> None:
    text = script.to_asm()
    if not text.endswith("[error]"):
        assert Script.from_asm(text) == script


def look_at_path(path: MerklePath) -> None:
    try:
        root = path.compute_root()
    except ParseError:
        return
    for txid in path.txids():
        index, nodes = path.to_tsc(txid)
        assert MerklePath.from_tsc(path.block_height, txid, index, nodes).compute_root() == root
    if path.txids():
        assert path.trim().compute_root() == root
    repr(path)


def look_at_beef(beef: Beef) -> None:
    if beef.validity(allow_txid_only=True):
        beef.roots()
        for txid in beef.txids():
            if not beef.is_txid_only(txid):
                again = Beef.from_bytes(beef.to_atomic(txid))
                assert again.validity(allow_txid_only=True)
                assert again.txids() == [*beef.ancestors(txid), txid]
    repr(beef)


def write_beef(beef: Beef) -> bytes:
    """What was parsed: ``to_bytes`` leaves the Atomic prefix out."""
    subject = beef.atomic_txid
    return (b"" if subject is None else b"\x01" * 4 + bytes.fromhex(subject)[::-1]) + beef.to_bytes()


def read_assembly(data: bytes) -> Script:
    return Script.from_asm(data.decode("latin-1"))


def read_outpoint(data: bytes) -> OutPoint:
    return OutPoint.from_string(data.decode("latin-1"))


def look_at_header(header: BlockHeader) -> None:
    assert (header.work() > 0) == (header.target() is not None)
    repr((header, header.hash()))


def targets() -> list[Target]:
    transactions = [each.to_bytes() for each in family()]
    scripts = [bytes(range(256)), b"\x4c\x01\xaa\x4d\x01\x00\xbb\x51"]
    paths = [each.to_bytes() for each in known_paths()]
    words = [b"OP_DUP OP_HASH160 aabb 0 -1 OP_PUSHDATA1 2 aabb", b"OP_UNKNOWN_ba 00 OP_1NEGATE"]
    headers = [each.genesis.to_bytes() for each in CHAINS.values()]
    outpoints = [b"ab" * 32 + b".0", b"00" * 32 + b".4294967295"]
    to_extended = Transaction.to_extended
    return [
        Target("transaction", Transaction.from_bytes, Transaction.to_bytes, transactions, look_at_transaction),
        Target("extended transaction", Transaction.from_extended, to_extended, extended(), look_at_transaction),
        Target("script", Script.from_bytes, Script.to_bytes, scripts, look_at_script),
        Target("script assembly", read_assembly, None, words),
        Target("merkle path", MerklePath.from_bytes, MerklePath.to_bytes, paths, look_at_path),
        Target("BEEF", Beef.from_bytes, write_beef, known_beefs(), look_at_beef),
        Target("block header", BlockHeader.from_bytes, BlockHeader.to_bytes, headers, look_at_header),
        Target("outpoint", read_outpoint, lambda value: str(value).encode(), outpoints),
    ]
