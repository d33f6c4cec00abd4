"""The bytes of a BEEF: V1 (BRC-62), V2 (BRC-96) and the Atomic prefix (BRC-95).

V1: ``0100beef``, count and BUMPs, count and transactions, each followed by 0, or 1 and the index of its BUMP.
V2: ``0200beef``, the same with a byte before each transaction: 0, or 1 and the index, or 2 and a txid alone.
Atomic: ``01010101`` and the subject's txid before either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.encodings import read_varint, varint
from sdk.core.errors import ParseError
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import read_hashed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.core.transaction import Transaction

V1, V2 = 1, 2
ATOMIC = b"\x01\x01\x01\x01"

_MAGIC = {b"\x01\x00\xbe\xef": V1, b"\x02\x00\xbe\xef": V2}
_PREFIX = {version: magic for magic, version in _MAGIC.items()}
_RAW, _RAW_AND_PATH, _TXID_ONLY = 0, 1, 2
_WHAT = "BEEF"


class BeefEntry:
    """A transaction of a BEEF by its wire-order hash; a txid-only one has no ``transaction``, an unproven no path."""

    __slots__ = ("hash", "path_index", "transaction")

    def __init__(self, digest: bytes, transaction: Transaction | None, path_index: int | None) -> None:
        self.hash = digest
        self.transaction = transaction
        self.path_index = path_index


def parse(data: bytes) -> tuple[int, bytes | None, list[MerklePath], dict[bytes, BeefEntry]]:
    """Version, hash of the Atomic subject, paths, and transactions by hash in their order. Raises ``ParseError``."""
    position = 0
    subject: bytes | None = None
    if data.startswith(ATOMIC):
        position = 36
        subject = data[4:36]
    version = _MAGIC.get(data[position : position + 4])
    if version is None:
        raise ParseError(_WHAT, "must begin with 0100beef, 0200beef, or 01010101 and a txid", min(position, len(data)))
    paths, position = _read_paths(data, position + 4)
    entries, position = _read_entries(data, position, version, paths)
    if position != len(data):
        raise ParseError(_WHAT, f"{len(data) - position} trailing bytes", position)
    if subject is not None and (subject not in entries or entries[subject].transaction is None):
        raise ParseError(_WHAT, f"the subject {subject[::-1].hex()} is not among its transactions", 4)
    return version, subject, paths, entries


def _read_paths(data: bytes, position: int) -> tuple[list[MerklePath], int]:
    count, position = _read_count(data, position, 35, "BUMPs")
    paths: list[MerklePath] = []
    for _ in range(count):
        path, position = MerklePath.read(data, position, useless_nodes=True)
        paths.append(path)
    return paths, position


def _read_entries(
    data: bytes, position: int, version: int, paths: Sequence[MerklePath]
) -> tuple[dict[bytes, BeefEntry], int]:
    count, position = _read_count(data, position, 11, "transactions")
    entries: dict[bytes, BeefEntry] = {}
    for _ in range(count):
        start = position
        transaction: Transaction | None = None
        index: int | None = None
        if version == V1:
            transaction, digest, position = read_hashed(data, position)
            index, position = _read_index(data, position, len(paths), _RAW_AND_PATH)
        elif (form := data[position] if position < len(data) else None) == _TXID_ONLY:
            position += 33
            digest = data[start + 1 : position]
            if position > len(data):
                raise ParseError(_WHAT, "ends inside a txid", start + 1)
        else:
            if form == _RAW:  # nearly all are
                position += 1
            else:
                index, position = _read_index(data, position, len(paths), _TXID_ONLY)
            transaction, digest, position = read_hashed(data, position)
        if digest in entries:
            raise ParseError(_WHAT, f"transaction {digest[::-1].hex()} stands in it twice", start)
        if index is not None and not paths[index].contains_hash(digest):
            raise ParseError(_WHAT, f"BUMP {index} does not hold its transaction {digest[::-1].hex()}", start)
        entries[digest] = BeefEntry(digest, transaction, index)
    return entries, position


def _read_index(data: bytes, position: int, paths: int, largest: int) -> tuple[int | None, int]:
    """The byte that says whether a transaction has a path, and the path's index."""
    if position >= len(data):
        raise ParseError(_WHAT, "ends before the format of a transaction", position)
    form = data[position]
    if form == _RAW:
        return None, position + 1
    if form != _RAW_AND_PATH:
        raise ParseError(_WHAT, f"the format of a transaction must be at most {largest}, is {form}", position)
    index, end = read_varint(data, position + 1, _WHAT)
    if index >= paths:
        raise ParseError(_WHAT, f"BUMP {index} is named, there are {paths}", position + 1)
    return index, end


def _read_count(data: bytes, position: int, least: int, name: str) -> tuple[int, int]:
    count, end = read_varint(data, position, _WHAT)
    if count * least > len(data) - end:
        raise ParseError(_WHAT, f"{count} {name} cannot fit in the {len(data) - end} bytes left", position)
    return count, end


def serialise(version: int, paths: Sequence[MerklePath], entries: Iterable[BeefEntry], count: int) -> bytes:
    """BEEF bytes, entries in the order given. Raises ``ValueError`` for a txid-only entry in V1."""
    parts = [_PREFIX[version], varint(len(paths)), *(path.to_bytes() for path in paths), varint(count)]
    for entry in entries:
        transaction, index = entry.transaction, entry.path_index
        if transaction is None:
            if version == V1:
                raise ValueError(f"BEEF V1 cannot hold the txid alone of {entry.hash[::-1].hex()}; use V2")
            parts += (b"\x02", entry.hash)
            continue
        proof = b"\x00" if index is None else b"\x01" + varint(index)
        parts += (transaction.to_bytes(), proof) if version == V1 else (proof, transaction.to_bytes())
    return b"".join(parts)
