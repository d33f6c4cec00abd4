"""Why a BEEF does or does not prove its transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sdk.core.beef_codec import BeefEntry
    from sdk.core.merkle_path import MerklePath

Sources: TypeAlias = list[tuple[bytes, int]]
"""Hash and output number of what each input spends."""

_ANY = 1 << 32  # outputs a transaction may have that is not here


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
    sources: dict[bytes, Sources] = {}
    output_counts: dict[bytes, int] = {}
    for digest, entry in entries.items():
        if entry.transaction is not None:
            spent, output_counts[digest] = entry.transaction.sources_and_output_count()
            if digest not in proven:
                sources[digest] = spent
    missing, unproven = _follow(entries, sources, proven)
    for source, spender in missing.items():
        reasons.append(f"transaction {_hex(source)}, spent by {_hex(spender)}, is missing")
    reasons += _own_faults(entries, sources)
    reasons += _dangling(sources, output_counts)
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


def _own_faults(entries: Mapping[bytes, BeefEntry], sources: Mapping[bytes, Sources]) -> Iterator[str]:
    for digest, entry in entries.items():
        if digest in sources:
            if not sources[digest]:
                yield f"transaction {_hex(digest)} has no input and no proof"
        elif entry.transaction is not None and entry.transaction.size() == 64:
            yield f"transaction {_hex(digest)} has 64 bytes, as an inner node of a merkle tree: it proves nothing"


def _follow(
    entries: Mapping[bytes, BeefEntry], sources: Mapping[bytes, Sources], proven: set[bytes]
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Sources that are missing (with one that spends each), and transactions that do not lead to proven ones."""
    missing: dict[bytes, bytes] = {}
    spenders: dict[bytes, list[bytes]] = {}
    still_open: dict[bytes, int] = {}
    for digest, spent in sources.items():
        parents = {parent for parent, _ in spent} if len(spent) > 1 else [parent for parent, _ in spent]
        still_open[digest] = len(parents) or 1
        for parent in parents:
            if parent in spenders:
                spenders[parent].append(digest)
            else:
                spenders[parent] = [digest]
                if parent not in entries:
                    missing[parent] = digest
    ready = list(proven)
    while ready:
        for digest in spenders.get(ready.pop(), ()):
            still_open[digest] -= 1
            if not still_open[digest]:
                ready.append(digest)
    return missing, [digest for digest, left in still_open.items() if left]


def _dangling(sources: Mapping[bytes, Sources], output_counts: Mapping[bytes, int]) -> Iterator[str]:
    """Inputs of unproven transactions that name an output their source does not have."""
    for digest, spent in sources.items():
        for index, (parent, vout) in enumerate(spent):
            count = output_counts.get(parent, _ANY)
            if vout >= count:
                yield f"input {index} of {_hex(digest)} spends output {vout} of {_hex(parent)}, which has {count}"


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
