"""Height by block hash: open addressing over two arrays of 32-bit numbers, twelve to thirty-six bytes a header.

A slot holds a height plus one, found by the first four bytes of the hash; those of a header are kept beside it, so
that a slot is followed only where they agree, and the table can grow without hashing a header again. What it finds
must still be compared with the whole hash.
"""

from __future__ import annotations

import sys
from array import array
from typing import Final

_LEAST: Final = 1 << 10
WORD: Final = 4


class HashIndex:
    """``keys[height]`` is the number that the first four bytes of the hash at ``height`` make."""

    def __init__(self) -> None:
        self.keys = array("I")
        self.slots = array("I", bytes(WORD * _LEAST))

    def extend(self, hashes: bytes) -> None:
        """Hashes of the headers that follow, 32 bytes each."""
        keys = array("I")
        keys.frombytes(hashes)
        keys = keys[::8]
        if sys.byteorder == "big":
            keys.byteswap()
        height = len(self.keys)
        self.keys += keys
        if len(self.keys) * 2 > len(self.slots):
            self._grow()
        else:
            _place(self.slots, keys, height)

    def truncate(self, count: int) -> None:
        del self.keys[count:]
        self._grow()

    def candidates(self, block_hash: bytes) -> list[int]:
        """Heights whose hash starts as ``block_hash`` does; hardly ever more than one."""
        key = int.from_bytes(block_hash[:WORD], "little")
        slots, keys = self.slots, self.keys
        mask = len(slots) - 1
        at = key & mask
        found = []
        while slot := slots[at]:
            if keys[slot - 1] == key:
                found.append(slot - 1)
            at = (at + 1) & mask
        return found

    def _grow(self) -> None:
        size = len(self.slots)
        while size < len(self.keys) * 2:
            size *= 4
        self.slots = array("I", bytes(WORD * size))
        _place(self.slots, self.keys, 0)


def _place(slots: array[int], keys: array[int], height: int) -> None:
    mask = len(slots) - 1
    for key in keys:
        height += 1
        at = key & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = height
