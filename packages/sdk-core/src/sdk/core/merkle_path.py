"""Merkle paths (BRC-74 BUMP): proofs that transactions are in a block.

Wire form: block height, tree height (one byte), then for each level from the transactions upwards its nodes: offset,
flags (0 node, 1 duplicate of the node to its left, 2 transaction of interest), and the hash unless it is a duplicate.

Parsing proves the shape: every transaction of interest reaches the root, no node is useless, and some block size fits
all offsets, duplicates and the tree height. Computing the root proves the hashes: nodes given twice agree, and no node
equals its sibling without being marked a duplicate (CVE-2012-2459, where a made-up block repeats its tail).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Self

from sdk.core import merkle_tree
from sdk.core.bump import read_levels, read_pair
from sdk.core.encodings import as_bytes, bytes_from_hex, from_display, read_varint, to_display
from sdk.core.errors import ParseError
from sdk.core.merkle_tree import MAX_HEIGHT, TXID, PathLeaf

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sdk.core.encodings import Buffer
    from sdk.core.merkle_tree import Levels, Node

_WHAT = "merkle path"


class MerklePath:
    """An immutable BUMP. Two are equal when their bytes are.

    ``path`` lists each level's ``PathLeaf``, lowest level first. Constructor and parsers raise ``ParseError``.
    """

    __slots__ = ("_bytes", "_offsets", "_root", "_siblings", "block_height")

    block_height: int
    _bytes: bytes
    _offsets: dict[bytes, int]  # hash of each leaf at level 0, to its offset
    _siblings: tuple[bytes | None, ...] | None  # levels 1 and up of a path for one pair of leaves; None: many
    _root: str | None  # once computed

    def __init__(self, block_height: int, path: Sequence[Sequence[PathLeaf]]) -> None:
        if not 0 <= block_height <= 0xFFFF_FFFF:
            raise ParseError(_WHAT, f"block height must have 32 bits, is {block_height}")
        self._bytes = merkle_tree.serialise(block_height, path)
        self._load(self._bytes, 0)

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Parse a whole BUMP."""
        data = as_bytes(data)
        self, end = cls.read(data, 0)
        if end != len(data):
            raise ParseError(_WHAT, f"{len(data) - end} trailing bytes", end)
        return self

    @classmethod
    def read(cls, data: Buffer, offset: int, *, useless_nodes: bool = False) -> tuple[Self, int]:
        """Parse the BUMP that begins at ``offset``; also the offset behind it.

        ``useless_nodes``: let pass nodes that prove nothing. @bsv/sdk refuses them in a BUMP but not inside a BEEF.
        """
        data = as_bytes(data)
        self = object.__new__(cls)
        end = self._load(data, offset, useless_nodes)
        self._bytes = data[offset:end]
        return self, end

    def _load(self, data: bytes, offset: int, useless_nodes: bool = False) -> int:
        self._root = None
        self.block_height, tree_height, position = _read_start(data, offset)
        pair = read_pair(data, position, tree_height)
        if pair is not None:
            self._offsets, self._siblings, end = pair
            return end
        levels, end = read_levels(data, position, tree_height)
        merkle_tree.check_shape(levels, offset, useless_nodes)
        self._siblings = None
        self._offsets = {node[2]: node[0] for node in levels[0] if node[2] is not None}
        if len(self._offsets) != sum(node[2] is not None for node in levels[0]):
            raise ParseError(_WHAT, "one transaction stands at two offsets", offset)
        return end

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, _WHAT))

    @classmethod
    def from_block(cls, block_height: int, txids: Sequence[str], wanted: Iterable[str]) -> Self:
        """The path for some of a block's transactions, given all of them in order.

        Raises ``ParseError`` if one is not in the block, none is wanted, or the block repeats itself (CVE-2012-2459).
        """
        hashes = [from_display(txid, "txid") for txid in txids]
        offsets = {each: offset for offset, each in enumerate(hashes)}
        levels = merkle_tree.build(hashes)
        return cls(block_height, merkle_tree.prune(levels, _offsets_of(offsets, wanted)))

    @classmethod
    def from_tsc(cls, block_height: int, txid: str, index: int, nodes: Sequence[str]) -> Self:
        """From a TSC proof: position in the block, and the sibling at each level in display hex or ``*`` for a
        duplicate (spec/arc.md §3). A sibling equal to the node beside it is taken as a duplicate.
        """
        if not 0 <= index < 1 << len(nodes):
            raise ParseError("TSC proof", f"index {index} does not fit a tree of {len(nodes)} levels")
        if not nodes:
            return cls(block_height, [[PathLeaf(0, txid, True)]])
        working = from_display(txid, "txid")
        path: list[list[PathLeaf]] = []
        for level, node in enumerate(nodes):
            offset = index >> level
            right = working if node == "*" else from_display(node, "TSC proof")
            duplicate = right == working
            if duplicate and offset & 1:
                raise ParseError("TSC proof", f"node {level} is a duplicate on the left, which no block has")
            path.append([PathLeaf(offset ^ 1, None if duplicate else to_display(right))])
            working = merkle_tree.parent(right, working) if offset & 1 else merkle_tree.parent(working, right)
        path[0] = sorted((*path[0], PathLeaf(index, txid, True)))
        return cls(block_height, path)

    def to_bytes(self) -> bytes:
        return self._bytes

    def to_hex(self) -> str:
        return self._bytes.hex()

    def to_tsc(self, txid: str) -> tuple[int, list[str]]:
        """Position in the block and sibling at each level (``*`` for a duplicate). Raises ``ParseError``."""
        offset = self.offset(txid)
        levels = self._all_levels()
        if len(levels) == 1 and offset == 0 and len(levels[0]) == 1:
            return 0, []
        nodes = [level[(offset >> h) ^ 1] for h, level in enumerate(levels[:-1])]
        return offset, ["*" if node is None else to_display(node) for node in nodes]

    @property
    def path(self) -> tuple[tuple[PathLeaf, ...], ...]:
        """Each level's nodes as they stand in the bytes."""
        return tuple(
            tuple(
                PathLeaf(offset, None if digest is None else to_display(digest), flags == TXID)
                for offset, flags, digest, _ in level
            )
            for level in self._given()
        )

    @property
    def tree_height(self) -> int:
        """Levels between the transactions and the root; 0 in a block of one transaction."""
        if self._siblings is not None:
            return len(self._siblings) + 1
        given = self._bytes[read_varint(self._bytes, 0, _WHAT)[1]]
        return 0 if len(self._offsets) == given == 1 else max(given, max(self._offsets.values()).bit_length())

    def txids(self) -> list[str]:
        """The transactions of interest, by position in the block."""
        return [leaf.hash for leaf in sorted(self.path[0]) if leaf.is_txid and leaf.hash is not None]

    def contains(self, txid: str) -> bool:
        """Whether the path proves ``txid`` (any leaf given by its hash)."""
        return from_display(txid, "txid") in self._offsets

    def contains_hash(self, digest: bytes) -> bool:
        """``contains`` for a hash in wire order."""
        return digest in self._offsets

    def hashes(self) -> Collection[bytes]:
        """Every leaf in wire order, marked as of interest or not."""
        return self._offsets.keys()

    def offset(self, txid: str) -> int:
        """Position of ``txid`` in the block. Raises ``ParseError`` if the path does not hold it."""
        offset = self._offsets.get(from_display(txid, "txid"))
        if offset is None:
            raise ParseError(_WHAT, f"{txid} is not one of its transactions")
        return offset

    def compute_root(self, txid: str | None = None) -> str:
        """The merkle root the block must have (display hex) if ``txid``, or any of the path's leaves, is in it.

        Every leaf leads to this one root. Raises ``ParseError`` if the path does not hold ``txid``, if its nodes
        contradict one another, or if two equal nodes stand side by side.
        """
        if txid is not None and from_display(txid, "txid") not in self._offsets:
            raise ParseError(_WHAT, f"{txid} is not one of its transactions")
        if self._root is None:
            siblings = self._siblings
            root = self._all_levels()[-1][0] if siblings is None else self._climb(siblings)
            self._root = to_display(root or b"")
        return self._root

    def _climb(self, siblings: Iterable[bytes | None]) -> bytes:
        """The root of a path for one pair of leaves."""
        (left, index), (right, other) = self._offsets.items()
        node = sha256(sha256(left + right if index < other else right + left).digest()).digest()
        for sibling in siblings:
            index >>= 1
            if sibling is None:
                pair = node + node
            elif sibling == node:
                raise merkle_tree.repeated(_WHAT)
            elif index & 1:
                pair = sibling + node
            else:
                pair = node + sibling
            node = sha256(sha256(pair).digest()).digest()
        return node

    def _all_levels(self) -> Levels:
        """Every node that is given or follows, with the root alone at the top. Raises ``ParseError``."""
        return merkle_tree.complete(self._given())

    def _given(self) -> list[list[Node]]:
        """Each level's nodes, read anew: keeping them would take five times the bytes."""
        _, tree_height, position = _read_start(self._bytes, 0)
        return read_levels(self._bytes, position, tree_height)[0]

    def combine(self, *others: MerklePath) -> MerklePath:
        """One path for the transactions of all. Raises ``ParseError`` unless heights and roots agree."""
        return self.combine_keeping((), *others)

    def combine_keeping(self, digests: Collection[bytes], *others: MerklePath) -> MerklePath:
        """``combine``, with leaves that nobody marked as of interest (wire-order hashes) kept too."""
        for other in others:
            if self.block_height != other.block_height:
                raise ParseError(_WHAT, f"heights {self.block_height} and {other.block_height} cannot be combined")
            if self.compute_root() != other.compute_root():
                raise ParseError(_WHAT, f"the paths at height {self.block_height} have different roots")
        levels, wanted = self._all_levels(), self._wanted(digests)
        for other in others:
            theirs = other._all_levels()
            if len(levels) != len(theirs):
                raise ParseError(_WHAT, "the paths have different tree heights")
            for mine, more in zip(levels, theirs, strict=True):
                mine.update(more)
            wanted.update(other._wanted(digests))
        combined = MerklePath(self.block_height, merkle_tree.prune(levels, wanted))
        combined._root = self.compute_root()
        return combined

    def extract(self, txids: Iterable[str]) -> MerklePath:
        """The smallest path that proves these transactions alone. Raises ``ParseError`` if one is missing or none
        is given.
        """
        return MerklePath(self.block_height, merkle_tree.prune(self._all_levels(), _offsets_of(self._offsets, txids)))

    def trim(self) -> MerklePath:
        """The smallest path that proves the same transactions of interest (all leaves, where none is marked)."""
        return MerklePath(self.block_height, merkle_tree.prune(self._all_levels(), self._wanted(())))

    def _wanted(self, more: Collection[bytes]) -> dict[int, bytes]:
        """Leaves of interest, and ``more`` of those it has, by offset."""
        marked = {offset: digest for offset, flags, digest, _ in self._given()[0] if flags == TXID and digest}
        if not marked:
            return {offset: digest for digest, offset in self._offsets.items()}
        marked.update((self._offsets[digest], digest) for digest in more if digest in self._offsets)
        return marked

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, MerklePath) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"MerklePath(height {self.block_height}, {len(self._offsets)} leaves, {len(self._bytes)} bytes)"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_bytes, (self._bytes,)


def merkle_root(txids: Sequence[str]) -> str:
    """The merkle root of a block with these transactions in order (display hex).

    Raises ``ParseError`` if there is none, or the list repeats its tail (CVE-2012-2459, ``bad-txns-duplicate``).
    """
    return to_display(merkle_tree.build([from_display(txid, "txid") for txid in txids])[-1][0] or b"")


def _offsets_of(offsets: Mapping[bytes, int], txids: Iterable[str]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for txid in txids:
        digest = from_display(txid, "txid")
        if digest not in offsets:
            raise ParseError(_WHAT, f"{txid} is not one of its transactions")
        found[offsets[digest]] = digest
    if not found:
        raise ParseError(_WHAT, "at least one txid must be given")
    return found


def _read_start(data: bytes, offset: int) -> tuple[int, int, int]:
    """Block height, tree height, and the offset of the lowest level. Raises ``ParseError``."""
    height, position = read_varint(data, offset, _WHAT)
    if height > 0xFFFF_FFFF:
        raise ParseError(_WHAT, f"block height must have 32 bits, is {height}", offset)
    if position >= len(data):
        raise ParseError(_WHAT, "ends before the tree height", position)
    tree_height = data[position]
    if not 1 <= tree_height <= MAX_HEIGHT:
        raise ParseError(_WHAT, f"tree height must be from 1 to {MAX_HEIGHT}, is {tree_height}", position)
    return height, tree_height, position + 1
