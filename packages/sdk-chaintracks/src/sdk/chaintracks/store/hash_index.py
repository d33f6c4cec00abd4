"""From a block hash to its height: open addressing over an array of heights, 4 bytes a slot.

It holds no hashes: the caller compares the candidate with the headers, which have them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_MAGIC = b"HIDX0001"
_LEAST = 1 << 12


class HashIndex:
    """``count`` heights are indexed. Slots hold height + 1; 0 is free."""

    __slots__ = ("_mask", "_table", "count")

    def __init__(self, expected: int = 0) -> None:
        slots = _LEAST
        while slots < 2 * expected:
            slots *= 2
        self._table = array("I", bytes(4 * slots))
        self._mask = slots - 1
        self.count = 0

    @property
    def is_full(self) -> bool:
        return 2 * self.count > self._mask

    def add(self, first: int, hashes: Sequence[bytes]) -> None:
        """Index ``hashes`` as those of the heights from ``first`` on. The table must have room (``is_full``)."""
        table, mask = self._table, self._mask
        entry = first
        for block_hash in hashes:
            entry += 1
            slot = int.from_bytes(block_hash[:8], "little") & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = entry
        self.count += len(hashes)

    def find(self, block_hash: bytes, hash_at: Callable[[int], bytes | None]) -> int | None:
        """The height whose hash is ``block_hash``; ``hash_at`` gives None for heights that are not stored."""
        table, mask = self._table, self._mask
        slot = int.from_bytes(block_hash[:8], "little") & mask
        while entry := table[slot]:
            if hash_at(entry - 1) == block_hash:
                return entry - 1
            slot = (slot + 1) & mask
        return None

    def to_bytes(self, tip_hash: bytes) -> bytes:
        """A snapshot; ``tip_hash`` is that of the last height indexed."""
        body = self.count.to_bytes(8, "little") + tip_hash + self._table.tobytes()
        return _MAGIC + crc32(body).to_bytes(4, "little") + body

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[HashIndex, bytes] | None:
        """The index and its tip hash, or None when these bytes are no whole snapshot: it can be built again."""
        head = len(_MAGIC) + 4
        if data[: len(_MAGIC)] != _MAGIC or crc32(memoryview(data)[head:]) != int.from_bytes(data[head - 4 : head], "little"):
            return None
        table = array("I", data[head + 40 :])
        if len(table) < _LEAST or len(table) & (len(table) - 1):
            return None
        index = cls.__new__(cls)
        index._table, index._mask = table, len(table) - 1
        index.count = int.from_bytes(data[head : head + 8], "little")
        return index, data[head + 8 : head + 40]

    @classmethod
    def build(cls, count: int, chunks: Iterable[Sequence[bytes]]) -> HashIndex:
        """Index heights from 0 on; ``chunks`` are their hashes in order."""
        index = cls(count + count // 4)
        for chunk in chunks:
            index.add(index.count, chunk)
        return index
