"""Merkle trees over txids in internal byte order (spec/consensus.md §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.encodings import hash256, varint
from sdk.core.merkle_path import MerklePath

if TYPE_CHECKING:
    from collections.abc import Sequence


def merkle_levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """From the leaves up to the root; an odd last node is paired with itself."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        paired = below if len(below) % 2 == 0 else [*below, below[-1]]
        levels.append([hash256(paired[i] + paired[i + 1]) for i in range(0, len(paired), 2)])
    return levels


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    return merkle_levels(leaves)[-1][0]


def has_duplicate_pair(leaves: Sequence[bytes]) -> bool:
    """Whether two distinct adjacent nodes of a pair are equal at any level (CVE-2012-2459)."""
    return any(level[i] == level[i + 1] for level in merkle_levels(leaves) for i in range(0, len(level) - 1, 2))


def siblings(leaves: Sequence[bytes], index: int) -> list[bytes | None]:
    """The node beside the path at each level, lowest first; ``None`` where the path is paired with itself."""
    beside: list[bytes | None] = []
    for height, level in enumerate(merkle_levels(leaves)[:-1]):
        offset = (index >> height) ^ 1
        beside.append(level[offset] if offset < len(level) else None)
    return beside


def merkle_path(leaves: Sequence[bytes], index: int, block_height: int) -> MerklePath:
    """The proof that leaf ``index`` is in the block (BRC-74)."""
    beside = siblings(leaves, index)
    parts = [varint(block_height), bytes([max(1, len(beside))])]
    if not beside:
        parts.append(_level([(0, leaves[0], True)]))
    for height, node in enumerate(beside):
        nodes = [((index >> height) ^ 1, node, False)]
        if height == 0:
            nodes = sorted([*nodes, (index, leaves[index], True)], key=lambda each: each[0])
        parts.append(_level(nodes))
    return MerklePath.from_bytes(b"".join(parts))


def _level(nodes: Sequence[tuple[int, bytes | None, bool]]) -> bytes:
    parts = [varint(len(nodes))]
    for offset, node, is_txid in nodes:
        flags = 1 if node is None else 2 if is_txid else 0
        parts.append(varint(offset) + bytes([flags]) + (node or b""))
    return b"".join(parts)
