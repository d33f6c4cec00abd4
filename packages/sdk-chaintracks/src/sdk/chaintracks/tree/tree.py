"""Every branch above a root, and which one is active (R80: by work, then first seen)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.chaintracks.tree.node import Node

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class TipChange:
    """The active chain went from ``old`` to ``new``: ``removed`` tip first, then ``added`` oldest first."""

    old: Node
    new: Node
    removed: tuple[Node, ...]
    added: tuple[Node, ...]

    @property
    def depth(self) -> int:
        """Headers that are no longer active; 0 when the chain only grew."""
        return len(self.removed)


@dataclass(frozen=True, slots=True)
class Rebased:
    """The root went up: ``passed`` are the active headers from the old root to the new one, ``dropped`` the others."""

    passed: tuple[Node, ...]
    dropped: tuple[Node, ...]


class HeaderTree:
    """Headers that descend from ``root``. They are checked before they come here.

    ``active[i]`` is the header of the best chain at height ``root.height + i``; ``side`` counts those not on it.
    """

    def __init__(self, root: Node) -> None:
        self.root = root
        self.active = [root]
        self._nodes = {root.hash: root}
        self._next_order = root.order + 1

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, block_hash: object) -> bool:
        return block_hash in self._nodes

    @property
    def tip(self) -> Node:
        return self.active[-1]

    @property
    def side(self) -> int:
        return len(self._nodes) - len(self.active)

    def get(self, block_hash: bytes) -> Node | None:
        return self._nodes.get(block_hash)

    def at(self, height: int) -> Node | None:
        """The active header at ``height``, if that is in the tree."""
        index = height - self.root.height
        return self.active[index] if 0 <= index < len(self.active) else None

    def is_active(self, node: Node) -> bool:
        return self.at(node.height) is node

    def tips(self) -> list[Node]:
        """Every header without a child, active tip included."""
        parents = {node.parent.hash for node in self._nodes.values() if node.parent is not None}
        return [node for node in self._nodes.values() if node.hash not in parents]

    def draft(self, parent: Node, raws: Sequence[bytes], hashes: Sequence[bytes], works: Sequence[int]) -> list[Node]:
        """Nodes for a run of headers after ``parent``, which the tree does not hold before ``add``."""
        nodes: list[Node] = []
        last = parent
        for order, (raw, block_hash, work) in enumerate(zip(raws, hashes, works, strict=True), self._next_order):
            last = Node(raw, block_hash, last.height + 1, last.work + work, last, order)
            nodes.append(last)
        return nodes

    def add(self, node: Node) -> None:
        """Hold ``node``, whose parent is held and whose hash is not; the active chain stays."""
        self._next_order = max(self._next_order, node.order + 1)
        self._nodes[node.hash] = node

    def plan(self, candidate: Node) -> TipChange | None:
        """What making ``candidate`` the tip changes, if it has more work than the tip; equal work changes nothing."""
        old = self.tip
        if candidate.work <= old.work:
            return None
        added: list[Node] = []
        node: Node | None = candidate
        while node is not None and not self.is_active(node):
            added.append(node)
            node = node.parent
        if node is None:
            raise AssertionError(f"{candidate!r} does not descend from the root {self.root!r}")
        removed = tuple(reversed(self.active[node.height - self.root.height + 1 :]))
        added.reverse()
        return TipChange(old, candidate, removed, tuple(added))

    def switch(self, change: TipChange) -> None:
        """Carry out a plan made of this tree as it is."""
        keep = change.added[0].height - self.root.height
        self.active[keep:] = change.added

    def rebase(self, height: int) -> Rebased:
        """Make the active header at ``height`` the root; forget what does not descend from it."""
        root = self.at(height)
        if root is None:
            raise AssertionError(f"height {height} is not in the tree ({self.root.height}-{self.tip.height})")
        passed = tuple(self.active[1 : height - self.root.height + 1])
        keep: dict[bytes, Node] = {root.hash: root}
        dropped: list[Node] = []
        for node in sorted(self._nodes.values(), key=lambda each: each.height):
            if node.height > height and node.parent is not None and node.parent.hash in keep:
                keep[node.hash] = node
            elif node.height > height or not self.is_active(node):
                dropped.append(node)
        self.active = self.active[height - self.root.height :]
        root.parent = None
        self.root, self._nodes = root, keep
        return Rebased(passed, tuple(dropped))

    def forget_side(self, keep: int) -> list[Node]:
        """Forget the side branches of least work, leaves first, until at most ``keep`` side headers remain."""
        forgotten: list[Node] = []
        children = Counter(node.parent.hash for node in self._nodes.values() if node.parent is not None)
        for tip in sorted(self.tips(), key=lambda each: (each.work, -each.order)):
            node: Node | None = tip
            while node is not None and self.side > keep and not children[node.hash] and not self.is_active(node):
                del self._nodes[node.hash]
                forgotten.append(node)
                if node.parent is not None:
                    children[node.parent.hash] -= 1
                node = node.parent
        return forgotten
