"""The arithmetic of merkle trees under ``MerklePath``: hashes in wire order, levels as maps from offset to hash."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sdk.core.encodings import from_display, varint
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Node: TypeAlias = tuple[int, int, bytes | None, int]
"""Offset, flags, hash (``None``: duplicate), position in the bytes."""

Levels: TypeAlias = list[dict[int, bytes | None]]
"""Per level, lowest first: offset to hash, ``None`` where the left neighbour is repeated."""

MAX_HEIGHT = 64
DUPLICATE, TXID = 1, 2

_WHAT = "merkle path"


class PathLeaf(NamedTuple):
    """One node of a path: ``hash`` in display hex, or ``None`` for a duplicate of the node to its left."""

    offset: int
    hash: str | None
    is_txid: bool = False


def parent(left: bytes, right: bytes) -> bytes:
    return sha256(sha256(left + right).digest()).digest()


def repeated(what: str) -> ParseError:
    return ParseError(what, "two equal nodes stand side by side (CVE-2012-2459)")


def serialise(block_height: int, path: Sequence[Sequence[PathLeaf]]) -> bytes:
    """BUMP bytes of the nodes as given; their shape is checked by parsing. Raises ``ParseError``."""
    if not 1 <= len(path) <= MAX_HEIGHT:
        raise ParseError(_WHAT, f"tree height must be from 1 to {MAX_HEIGHT}, is {len(path)}")
    parts = [varint(block_height), bytes((len(path),))]
    for level in path:
        parts.append(varint(len(level)))
        for leaf in level:
            if not 0 <= leaf.offset < 1 << MAX_HEIGHT:
                raise ParseError(_WHAT, f"offset {leaf.offset} does not have 64 bits")
            parts.append(varint(leaf.offset))
            if leaf.hash is None:
                parts.append(b"\x01")
            else:
                parts += (b"\x02" if leaf.is_txid else b"\x00", from_display(leaf.hash, "merkle path node"))
    return b"".join(parts)


def check_shape(levels: Sequence[Sequence[Node]], start: int, useless_nodes: bool = False) -> None:
    """Refuse a path whose leaves do not all reach the root, that has useless nodes, or that no block size fits.

    Raises ``ParseError`` at the node, or at ``start`` where none can be named.
    """
    bottom = levels[0]
    known = {node[0] for node in bottom if node[2] is not None}
    if not known:
        raise ParseError(_WHAT, "has no transaction", start)
    if len(levels) == 1 and len(bottom) == 1:
        if known != {0}:
            raise ParseError(_WHAT, "a path of one node must be the only transaction of its block", bottom[0][3])
        return
    last = max(known)
    whole_block = len(levels) == 1  # every transaction is given: then nodes at the end repeat without being told to
    height = max(len(levels), last.bit_length())
    least, most = (1 << height - 1) + 1, 1 << height  # transactions in the block
    for h in range(height):
        given: set[int] = set()
        for offset, _, digest, position in levels[h] if h < len(levels) else ():
            if offset in given:
                raise ParseError(_WHAT, f"offset {offset} stands twice at level {h}", position)
            given.add(offset)
            if digest is None:
                if not offset & 1 or offset - 1 not in known:
                    raise ParseError(_WHAT, f"node {offset} at level {h} has no left neighbour to repeat", position)
                least, most = max(least, ((offset - 1) << h) + 1), min(most, offset << h)
            else:
                if not (useless_nodes or offset in known or offset ^ 1 in known):
                    raise ParseError(_WHAT, f"node {offset} at level {h} proves nothing", position)
                least = max(least, (offset << h) + 1)
        at_end = last >> h if whole_block and not last >> h & 1 else -1
        for offset in known:
            if offset ^ 1 not in given and offset ^ 1 not in known and offset != at_end:
                raise ParseError(_WHAT, f"node {offset ^ 1} at level {h} is missing", start)
        known = {offset >> 1 for offset in known}
    if least > most:
        raise ParseError(_WHAT, "no block has transactions at these offsets", start)


def complete(levels: Sequence[Sequence[Node]]) -> Levels:
    """All nodes of a path whose shape is right, computed ones included; the top level is the root.

    Raises ``ParseError`` if a node given differs from the one computed, or two equal ones stand side by side.
    """
    known: dict[int, bytes | None] = {node[0]: node[2] for node in levels[0]}
    if len(levels) == 1 and len(known) == 1:
        return [known]
    full = len(levels) == 1
    last = max(offset for offset, digest in known.items() if digest is not None)
    done: Levels = []
    for h in range(max(len(levels), last.bit_length())):
        if full and not (last >> h) & 1:
            known.setdefault((last >> h) + 1, None)
        done.append(known)
        known = _parents(known)
        if h + 1 < len(levels):
            _add_siblings(known, levels[h + 1], h + 1)
    done.append(known)
    return done


def _add_siblings(computed: dict[int, bytes | None], level: Sequence[Node], h: int) -> None:
    """Add the nodes given beside the computed ones. Those beside nothing prove nothing, and stay out."""
    beside: dict[int, bytes | None] = {}
    for offset, _, digest, position in level:
        if offset in computed:
            if computed[offset] != digest:
                raise ParseError(_WHAT, f"node {offset} at level {h} is not what lies below it", position)
        elif offset ^ 1 in computed:
            beside[offset] = digest
    computed.update(beside)


def build(hashes: Sequence[bytes]) -> Levels:
    """The whole tree over a block's transactions. Raises ``ParseError`` for none, or for a repeated tail."""
    if not hashes:
        raise ParseError("block", "has no transaction")
    level: dict[int, bytes | None] = dict(enumerate(hashes))
    levels: Levels = []
    while len(level) > 1:
        if len(level) & 1:
            level[len(level)] = None
        levels.append(level)
        level = _parents(level)
    levels.append(level)
    return levels


def prune(levels: Levels, wanted: Mapping[int, bytes]) -> list[list[PathLeaf]]:
    """The smallest path that proves the leaves in ``wanted`` (offset to hash), out of levels that hold all it takes."""
    if len(levels) == 1:
        return [[PathLeaf(0, wanted[0][::-1].hex(), True)]]
    path: list[list[PathLeaf]] = []
    computed = set(wanted)
    for h, level in enumerate(levels[:-1]):
        needed = {offset ^ 1 for offset in computed} - computed
        leaves = [_leaf(offset, level[offset]) for offset in needed]
        if h == 0:
            leaves += [PathLeaf(offset, digest[::-1].hex(), True) for offset, digest in wanted.items()]
        path.append(sorted(leaves))
        computed = {offset >> 1 for offset in computed}
    return path


def _leaf(offset: int, digest: bytes | None) -> PathLeaf:
    return PathLeaf(offset, None if digest is None else digest[::-1].hex())


def _parents(level: Mapping[int, bytes | None]) -> dict[int, bytes | None]:
    """The nodes above every complete pair."""
    above: dict[int, bytes | None] = {}
    for offset, left in level.items():
        if offset & 1 or left is None or offset + 1 not in level:
            continue
        right = level[offset + 1]
        if right == left:
            raise repeated(_WHAT)
        above[offset >> 1] = parent(left, left if right is None else right)
    return above
