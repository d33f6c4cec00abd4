"""BEEF: transactions with the ancestors and merkle paths that prove them (BRC-62, BRC-96, BRC-95).

A path ends the ancestry: nothing below a proven transaction is needed (R34). Every walk over the graph is iterative and
visits each transaction once, so that long chains and diamonds cost no more than their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from sdk.core import beef_codec
from sdk.core.beef_codec import ATOMIC, V1, V2, BeefEntry
from sdk.core.beef_validity import BeefValidity, examine
from sdk.core.encodings import as_bytes, bytes_from_hex, from_display
from sdk.core.errors import ParseError
from sdk.core.path_pool import PathPool
from sdk.core.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sdk.core.encodings import Buffer
    from sdk.core.merkle_path import MerklePath
    from sdk.core.transaction import TransactionOutput

__all__ = ["V1", "V2", "Beef", "BeefValidity"]


class Beef:
    """A set of transactions that can be added to. ``version`` says how it is written unless told otherwise.

    ``atomic_txid`` is the subject of an AtomicBEEF that was parsed. Parsers raise ``ParseError`` with the offset; they
    check structure (what is named is there, paths hold their transactions) but not that the ancestry is complete:
    ``validity`` says that, and ``roots`` what a chain tracker must confirm.
    """

    __slots__ = ("_entries", "_order", "_paths", "atomic_txid", "version")

    version: int
    atomic_txid: str | None
    _entries: dict[bytes, BeefEntry]
    _order: Literal["sorted", "parsed", "merged"]  # of the entries: parents first, as in the bytes, as they came
    _paths: PathPool

    def __init__(self, version: int = V2) -> None:
        if version not in (V1, V2):
            raise ValueError(f"a BEEF has version 1 or 2, not {version}")
        self.version = version
        self.atomic_txid = None
        self._paths = PathPool()
        self._entries = {}
        self._order = "sorted"

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Parse V1, V2 or Atomic, to the last byte."""
        self = cls()
        self.version, subject, paths, self._entries = beef_codec.parse(as_bytes(data))
        self._paths = PathPool(paths)
        self.atomic_txid = None if subject is None else subject[::-1].hex()
        self._order = "parsed"
        return self

    @classmethod
    def from_atomic(cls, data: Buffer) -> Self:
        """Parse AtomicBEEF and nothing else; ``atomic_txid`` names the subject, which is here in full."""
        self = cls.from_bytes(data)
        if self.atomic_txid is None:
            raise ParseError("AtomicBEEF", "must begin with 01010101 and the txid of its subject (BRC-95)", 0)
        return self

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, "BEEF"))

    def to_bytes(self, version: int | None = None) -> bytes:
        """Plain BEEF, parents before children; ``to_atomic`` writes the Atomic form.

        A parsed BEEF that was not changed keeps its order. Raises ``ValueError`` for a txid-only entry in V1.
        """
        entries = self._written()
        return beef_codec.serialise(version or self.version, self.paths, entries.values(), len(entries))

    def to_hex(self, version: int | None = None) -> str:
        return self.to_bytes(version).hex()

    def to_atomic(self, txid: str, version: int | None = None) -> bytes:
        """AtomicBEEF of ``txid`` and what proves it, nothing else. Raises ``ParseError`` if it is not here in full."""
        digest = from_display(txid, "txid")
        if self._transaction(digest) is None:
            raise ParseError("BEEF", f"the subject {txid} is not among its transactions")
        return ATOMIC + digest + self.prune([txid]).to_bytes(version)

    # ------------------------------------------------------------------ what is in it

    @property
    def paths(self) -> tuple[MerklePath, ...]:
        return self._paths.combined(self._proven)

    def txids(self) -> list[str]:
        """Every txid, txid-only ones too, in the order they are written."""
        return [digest[::-1].hex() for digest in self._written()]

    def transactions(self) -> Iterator[Transaction]:
        """The transactions that are here in full, parents first."""
        return (entry.transaction for entry in self._sorted().values() if entry.transaction is not None)

    def transaction(self, txid: str) -> Transaction | None:
        """The transaction, or ``None`` if it is unknown or known by its txid alone."""
        return self._transaction(from_display(txid, "txid"))

    def transaction_with_sources(self, txid: str) -> Transaction | None:
        """The transaction, whose inputs carry the outputs they spend where those are here."""
        transaction = self.transaction(txid)
        if transaction is None:
            return None
        return transaction.with_sources([self._source(*each) for each in transaction.sources()])

    def is_txid_only(self, txid: str) -> bool:
        entry = self._entries.get(from_display(txid, "txid"))
        return entry is not None and entry.transaction is None

    def path_for(self, txid: str) -> MerklePath | None:
        """The path that proves ``txid``, or ``None``."""
        return self.path_for_hash(from_display(txid, "txid"))

    def path_for_hash(self, digest: bytes) -> MerklePath | None:
        """``path_for`` a hash in wire order."""
        entry = self._entries.get(digest)
        return None if entry is None or entry.path_index is None else self.paths[entry.path_index]

    def ancestors(self, txid: str) -> list[str]:
        """What ``txid`` needs to be proven, parents first, without itself; ends at proven and txid-only ones."""
        digest = from_display(txid, "txid")
        needed = self._closure([digest])
        return [each[::-1].hex() for each in self._sorted() if each in needed and each != digest]

    def roots(self) -> dict[int, str]:
        """Block height to merkle root (display hex) that the chain must have for this BEEF to hold.

        Raises ``ParseError`` if the nodes of a path contradict one another, or two paths name different roots for one
        height.
        """
        roots: dict[int, str] = {}
        for path in self.paths:
            root = path.compute_root()
            if roots.setdefault(path.block_height, root) != root:
                raise ParseError("BEEF", f"its paths name two merkle roots for height {path.block_height}")
        return roots

    def validity(self, *, allow_txid_only: bool = False) -> BeefValidity:
        """Whether everything here is proven or leads to what is, and if not, why. Roots and scripts are not judged."""
        return examine(self.paths, self._entries, self.atomic_txid, allow_txid_only)

    def __contains__(self, txid: str) -> bool:
        return from_display(txid, "txid") in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Beef(V{self.version}, {len(self._entries)} transactions, {len(self._paths)} paths)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Beef):
            return NotImplemented
        return (self.atomic_txid, self.to_bytes()) == (other.atomic_txid, other.to_bytes())

    __hash__ = None  # type: ignore[assignment]

    # ------------------------------------------------------------------ adding

    def merge(self, other: Beef | Buffer) -> None:
        """Take in all of another BEEF. Raises ``ParseError``, before anything is changed, if its bytes are not one or
        the nodes of a path contradict one another.
        """
        if not isinstance(other, Beef):
            other = Beef.from_bytes(other)
        for path in other.paths:
            path.compute_root()
        places = [self.merge_path(path) for path in other.paths]
        for digest, entry in list(other._entries.items()):
            if entry.transaction is None:
                self._merge_hash(digest)
            else:
                self._merge_transaction(
                    entry.transaction, None if entry.path_index is None else places[entry.path_index]
                )

    def merge_transaction(self, transaction: Transaction | Buffer) -> str:
        """Add a transaction (or its bytes), proven if a path here holds it; the txid. Raises ``ParseError``."""
        if not isinstance(transaction, Transaction):
            transaction = Transaction.from_bytes(transaction)
        self._merge_transaction(transaction, None)
        return transaction.txid()

    def merge_path(self, path: MerklePath) -> int:
        """Add a path, combined with one of the same block if there is one; its index.

        Transactions that it proves become proven. Raises ``ParseError`` if its nodes contradict one another.
        """
        index = self._paths.add(path)
        for digest in path.hashes():
            entry = self._entries.get(digest)
            if entry is not None and entry.path_index is None and entry.transaction is not None:
                entry.path_index = index
        return index

    def merge_txid_only(self, txid: str) -> None:
        """Note a transaction the receiver knows. One that is here in full stays as it is."""
        self._merge_hash(from_display(txid, "txid"))

    def _merge_hash(self, digest: bytes) -> None:
        if digest not in self._entries:
            self._entries[digest] = BeefEntry(digest, None, None)
            self._order = "merged"

    def _merge_transaction(self, transaction: Transaction, index: int | None) -> None:
        digest = transaction.hash()
        known = self._entries.get(digest)
        if known is not None and known.transaction is not None:
            if known.path_index is None:
                known.path_index = index
            return
        if index is None:
            index = self._paths.find(digest)
        self._entries[digest] = BeefEntry(digest, transaction, index)
        self._order = "merged"

    # ------------------------------------------------------------------ leaving out

    def prune(self, txids: Iterable[str]) -> Beef:
        """A new BEEF with these transactions and what proves them, nothing else (R34).

        Paths that prove others too are cut down to the transactions kept. Raises ``ParseError`` if one of ``txids`` is
        not here.
        """
        subjects = [from_display(txid, "txid") for txid in txids]
        absent = next((digest for digest in subjects if digest not in self._entries), None)
        if absent is not None:
            raise ParseError("BEEF", f"{absent[::-1].hex()} is not among its transactions")
        needed = self._closure(subjects)
        return self._subset(digest for digest in self._sorted() if digest in needed)

    def trim(self, known_txids: Iterable[str] = ()) -> Beef:
        """A new BEEF without what proves nothing: ancestors of proven transactions that nothing else needs, paths for
        none of those that stay, and txid-only entries among ``known_txids``.

        The transactions nobody here spends from stay, with all that proves them.
        """
        spent = {
            source
            for entry in self._entries.values()
            if entry.transaction is not None
            for source in entry.transaction.source_hashes()
        }
        known = {from_display(txid, "txid") for txid in known_txids}
        needed = self._closure([digest for digest in self._entries if digest not in spent])
        return self._subset(
            digest
            for digest, entry in self._sorted().items()
            if digest in needed and not (entry.transaction is None and digest in known)
        )

    def make_txid_only(self, txid: str) -> None:
        """Keep no more than the txid of a transaction the receiver knows. Unknown ones are ignored."""
        digest = from_display(txid, "txid")
        if digest in self._entries:
            self._entries[digest] = BeefEntry(digest, None, None)

    def copy(self) -> Beef:
        other = Beef(self.version)
        other.atomic_txid, other._order = self.atomic_txid, self._order
        other._paths = PathPool(self.paths)
        other._entries = {d: BeefEntry(d, e.transaction, e.path_index) for d, e in self._entries.items()}
        return other

    def _subset(self, digests: Iterable[bytes]) -> Beef:
        entries = [self._entries[digest] for digest in digests]
        held: dict[int, set[str]] = {}
        for entry in entries:
            if entry.path_index is not None:
                held.setdefault(entry.path_index, set()).add(entry.hash[::-1].hex())
        places = {index: place for place, index in enumerate(held)}
        other = Beef(self.version)
        paths = self.paths
        other._paths = PathPool(_cut(paths[index], txids) for index, txids in held.items())
        other._entries = {
            entry.hash: BeefEntry(
                entry.hash, entry.transaction, None if entry.path_index is None else places[entry.path_index]
            )
            for entry in entries
        }
        return other

    # ------------------------------------------------------------------ the graph

    def _proven(self) -> set[bytes]:
        return {digest for digest, entry in self._entries.items() if entry.path_index is not None}

    def _transaction(self, digest: bytes) -> Transaction | None:
        entry = self._entries.get(digest)
        return None if entry is None else entry.transaction

    def _source(self, digest: bytes, vout: int) -> TransactionOutput | None:
        source = self._transaction(digest)
        return None if source is None or vout >= len(source.outputs) else source.outputs[vout]

    def _closure(self, digests: Iterable[bytes]) -> set[bytes]:
        """These and all they need that is here."""
        entries = self._entries
        needed: set[bytes] = set()
        waiting = list(digests)
        while waiting:
            digest = waiting.pop()
            if digest in needed or digest not in entries:
                continue
            needed.add(digest)
            entry = entries[digest]
            if entry.path_index is None and entry.transaction is not None:
                waiting += entry.transaction.source_hashes()
        return needed

    def _written(self) -> dict[bytes, BeefEntry]:
        return self._entries if self._order == "parsed" else self._sorted()

    def _sorted(self) -> dict[bytes, BeefEntry]:
        """The entries with parents before children, otherwise in the order they came."""
        if self._order == "sorted" or self._in_order():
            self._order = "sorted"
            return self._entries
        entries = self._entries
        done: dict[bytes, BeefEntry] = {}
        for first in entries:
            waiting = [first]
            while waiting:
                digest = waiting[-1]
                entry = entries[digest]
                missing = (
                    []
                    if digest in done or entry.transaction is None
                    else [each for each in entry.transaction.source_hashes() if each in entries and each not in done]
                )
                if missing:
                    waiting += missing
                else:
                    done[digest] = entry
                    waiting.pop()
        if self._order == "merged":
            self._entries, self._order = done, "sorted"
        return done

    def _in_order(self) -> bool:
        """Whether no entry spends from a later one."""
        entries = self._entries
        before: set[bytes] = set()
        for digest, entry in entries.items():
            if entry.transaction is not None:
                for source in entry.transaction.source_hashes():
                    if source not in before and source in entries:
                        return False
            before.add(digest)
        return True


def _cut(path: MerklePath, txids: set[str]) -> MerklePath:
    return path if txids.issuperset(path.txids()) else path.extract(txids)
