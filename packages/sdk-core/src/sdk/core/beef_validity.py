"""Why a BEEF does or does not prove its transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sdk.core.beef_codec import BeefEntry
    from sdk.core.merkle_path import MerklePath
    from sdk.core.transaction import Transaction


@dataclass(frozen=True, slots=True)
class BeefValidity:
    """The verdict on a BEEF's structure, and its ``reasons`` in plain words. Truth value: valid.

    ``missing``: txids that are needed and not here. ``txid_only``: those here by txid alone. ``unproven``: transactions
    that do not lead to proven ones. ``unrelated``: in an AtomicBEEF, those the subject does not need (no fault).
    """

    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    txid_only: tuple[str, ...]
    unproven: tuple[str, ...]
    unrelated: tuple[str, ...]

    @property
    def valid(self) -> bool:
        return not self.reasons

    def __bool__(self) -> bool:
        return self.valid


def examine(
    paths: Sequence[MerklePath], entries: Mapping[bytes, BeefEntry], subject: str | None, allow_txid_only: bool
) -> BeefValidity:
    """One pass over paths and transactions, whatever their order."""
    reasons = list(_path_faults(paths))
    txid_only = [digest for digest, entry in entries.items() if entry.transaction is None]
    if not allow_txid_only:
        reasons += (f"transaction {_hex(digest)} is here by its txid alone" for digest in txid_only)
    proven = {digest for digest, entry in entries.items() if entry.transaction is None or entry.path_index is not None}
    for digest, entry in entries.items():
        if entry.transaction is not None:
            reasons += _own_faults(entry.transaction, digest in proven)
    missing, unproven = _follow(entries, proven)
    for source, spender in missing.items():
        reasons.append(f"transaction {_hex(source)}, spent by {_hex(spender)}, is missing")
    reasons += _dangling(entries)
    return BeefValidity(
        tuple(reasons),
        tuple(map(_hex, missing)),
        tuple(map(_hex, txid_only)),
        tuple(map(_hex, unproven)),
        tuple(_unrelated(entries, subject)),
    )


def _path_faults(paths: Sequence[MerklePath]) -> Iterator[str]:
    roots: dict[int, str] = {}
    for index, path in enumerate(paths):
        try:
            root = path.compute_root()
        except ParseError as exc:
            yield f"BUMP {index}: {exc.reason}"
            continue
        if roots.setdefault(path.block_height, root) != root:
            yield f"BUMP {index} names a second merkle root for height {path.block_height}"


def _own_faults(transaction: Transaction, proven: bool) -> Iterator[str]:
    if proven and transaction.size() == 64:
        yield f"transaction {transaction.txid()} has 64 bytes, as an inner node of a merkle tree: it proves nothing"
    if not proven and not transaction.source_hashes():
        yield f"transaction {transaction.txid()} has no input and no proof"


def _follow(entries: Mapping[bytes, BeefEntry], proven: set[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Sources that are missing (with one that spends each), and transactions that do not lead to proven ones."""
    missing: dict[bytes, bytes] = {}
    spenders: dict[bytes, list[bytes]] = {}
    open_sources: dict[bytes, int] = {}
    for digest, entry in entries.items():
        if digest in proven or entry.transaction is None:
            continue
        sources = set(entry.transaction.source_hashes())
        open_sources[digest] = len(sources) or 1
        for source in sources:
            spenders.setdefault(source, []).append(digest)
            if source not in entries:
                missing.setdefault(source, digest)
    ready = list(proven)
    while ready:
        for digest in spenders.get(ready.pop(), ()):
            open_sources[digest] -= 1
            if not open_sources[digest]:
                ready.append(digest)
    return missing, [digest for digest, left in open_sources.items() if left]


def _dangling(entries: Mapping[bytes, BeefEntry]) -> Iterator[str]:
    """Inputs of unproven transactions that name an output their source does not have."""
    for entry in entries.values():
        if entry.transaction is None or entry.path_index is not None:
            continue
        for index, (digest, vout) in enumerate(entry.transaction.sources()):
            source = entries.get(digest)
            if source is not None and source.transaction is not None and vout >= source.transaction.output_count():
                yield (
                    f"input {index} of {_hex(entry.hash)} spends output {vout} of {_hex(digest)}, "
                    f"which has {source.transaction.output_count()}"
                )


def _unrelated(entries: Mapping[bytes, BeefEntry], subject: str | None) -> list[str]:
    if subject is None:
        return []
    seen: set[bytes] = set()
    waiting = [bytes.fromhex(subject)[::-1]]
    while waiting:
        digest = waiting.pop()
        if digest in seen or digest not in entries:
            continue
        seen.add(digest)
        transaction = entries[digest].transaction
        if transaction is not None and entries[digest].path_index is None:
            waiting += transaction.source_hashes()
    return [_hex(digest) for digest in entries if digest not in seen]


def _hex(digest: bytes) -> str:
    return digest[::-1].hex()
