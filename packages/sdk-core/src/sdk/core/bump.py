"""Reading the levels of a BUMP (BRC-74) for ``MerklePath``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sdk.core.encodings import read_varint
from sdk.core.errors import ParseError
from sdk.core.merkle_tree import DUPLICATE, TXID

if TYPE_CHECKING:
    from sdk.core.merkle_tree import Node

Pair: TypeAlias = tuple[dict[bytes, int], tuple[bytes | None, ...], int]
"""The two leaves with their offsets, the sibling at each level above (``None``: duplicate), the offset behind."""

_WHAT = "merkle path"


def read_levels(data: bytes, position: int, tree_height: int) -> tuple[list[list[Node]], int]:
    """The nodes of each level, as they stand, and the offset behind them. Raises ``ParseError``."""
    size = len(data)
    levels: list[list[Node]] = []
    for _ in range(tree_height):
        count, start = read_varint(data, position, _WHAT)
        if count * 2 > size - start:
            raise ParseError(_WHAT, f"{count} nodes cannot fit in the {size - start} bytes left", position)
        position = start
        level: list[Node] = []
        repeats = False  # so that two-byte nodes cannot fill the memory
        for _ in range(count):
            start = position
            offset, position = read_varint(data, start, _WHAT)
            if position >= size:
                raise ParseError(_WHAT, "ends before the flags of a node", position)
            flags = data[position]
            position += 1
            if flags == DUPLICATE:
                if repeats:
                    raise ParseError(_WHAT, "a second duplicate at one level, where only the last node repeats", start)
                repeats = True
                level.append((offset, flags, None, start))
                continue
            if flags > TXID:
                raise ParseError(_WHAT, f"flags must be 0, 1 or 2, are {flags}", position - 1)
            end = position + 32
            if end > size:
                raise ParseError(_WHAT, "ends inside the hash of a node", position)
            level.append((offset, flags, data[position:end], start))
            position = end
        levels.append(level)
    return levels, position


def read_pair(data: bytes, position: int, tree_height: int) -> Pair | None:
    """The usual path, for one pair of leaves given in full, read and checked in one pass.

    ``None`` for any other path and for all that is wrong: ``read_levels`` and ``check_shape`` then have the say.
    """
    try:
        if data[position] != 2:
            return None
        offset, start = read_varint(data, position + 1, _WHAT)
        end = start + 33
        other, start_of_other = read_varint(data, end, _WHAT)
        if offset ^ 1 != other or data[start] not in _HASHED or data[start_of_other] not in _HASHED:
            return None
        position = start_of_other + 33
        leaves = {data[start + 1 : end]: offset, data[start_of_other + 1 : position]: other}
        least = (offset | 1) + 1  # transactions in the block
        most = full = 1 << tree_height
        siblings: list[bytes | None] = []
        for level in range(1, tree_height):
            if data[position] != 1:
                return None
            offset >>= 1
            node = data[position + 1]
            if node < 253:
                position += 2
            else:
                node, position = read_varint(data, position + 1, _WHAT)
            if node != offset ^ 1:
                return None
            if data[position] == DUPLICATE:
                if not node & 1:
                    return None
                siblings.append(None)
                position += 1
                least, most = max(least, (offset << level) + 1), min(most, node << level)
                continue
            if data[position] not in _HASHED:
                return None
            if node & 1 and least <= node << level:
                least = (node << level) + 1
            end = position + 33
            siblings.append(data[position + 1 : end])
            position = end
    except (IndexError, ParseError):
        return None
    if position > len(data) or len(leaves) != 2 or not full >> 1 < most >= least:
        return None
    return leaves, tuple(siblings), position


_HASHED = (0, TXID)
