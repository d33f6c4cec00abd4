"""The paths of a BEEF: one a block, combined when they are asked for and not at each addition, which would cost the
square of their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sdk.core.merkle_path import MerklePath


Block: TypeAlias = tuple[int, str, int]
"""Height, merkle root and tree height: paths that share all three combine. A path that passes an inner node off as a
transaction leads to the same root, but is shorter."""


class PathPool:
    """Paths by index; an index never changes."""

    __slots__ = ("_combined", "_leaves", "_places", "_roots")

    def __init__(self, paths: Iterable[MerklePath] = ()) -> None:
        self._places: list[dict[MerklePath, None]] = [{path: None} for path in paths]  # parts, in order, each once
        self._roots: dict[Block, int] | None = None  # to index, once something is added
        self._leaves: dict[bytes, int] | None = None  # hash to index, once something is looked for
        self._combined: tuple[MerklePath, ...] | None = None  # until something is added

    def __len__(self) -> int:
        return len(self._places)

    def add(self, path: MerklePath) -> int:
        """The index of the path of this block. Raises ``ParseError`` if the path contradicts itself."""
        if self._roots is None:
            self._roots = {}
            for index, parts in enumerate(self._places):
                self._roots.setdefault(_block(next(iter(parts))), index)
        index = self._roots.setdefault(_block(path), len(self._places))
        if index == len(self._places):
            self._places.append({})
        self._places[index][path] = None
        self._combined = None
        if self._leaves is not None:
            for digest in path.hashes():
                self._leaves.setdefault(digest, index)
        return index

    def find(self, digest: bytes) -> int | None:
        """The index of the first path with this leaf (wire order)."""
        if self._leaves is None:
            self._leaves = {}
            for index, parts in enumerate(self._places):
                for path in parts:
                    for leaf in path.hashes():
                        self._leaves.setdefault(leaf, index)
        return self._leaves.get(digest)

    def combined(self, keep: Callable[[], Collection[bytes]]) -> tuple[MerklePath, ...]:
        """One path for each index. ``keep`` gives the leaves that must stay even if nobody marked them."""
        if self._combined is None:
            kept: Collection[bytes] | None = None
            for index, parts in enumerate(self._places):
                if len(parts) > 1:
                    kept = keep() if kept is None else kept
                    first, *rest = parts
                    self._places[index] = {first.combine_keeping(kept, *rest): None}
            self._combined = tuple(next(iter(parts)) for parts in self._places)
        return self._combined


def _block(path: MerklePath) -> Block:
    return path.block_height, path.compute_root(), path.tree_height
