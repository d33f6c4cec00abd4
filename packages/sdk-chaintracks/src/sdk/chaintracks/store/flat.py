"""Headers of 80 bytes one after the other, found by height and by hash; in memory, or where a subclass keeps them."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Final

from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.fields import HEADER, header_hash, number_columns, split
from sdk.chaintracks.store.hash_index import HashIndex

SPAN: Final = 2048
"""Headers between two heights whose chain work is remembered."""


class FlatHeaders:
    """Index and work of a run of headers from height 0; ``works[i]`` is the chain work before height ``i * SPAN``."""

    def __init__(self) -> None:
        self.index = HashIndex()
        self.works = [0]
        self._total = 0

    @property
    def count(self) -> int:
        return len(self.index.keys)

    def header(self, height: int) -> bytes | None:
        return self._at(height) if 0 <= height < self.count else None

    def read(self, first: int, count: int) -> bytes:
        end = min(first + count, self.count)
        return self._slice(first, end) if 0 <= first < end else b""

    def find(self, block_hash: bytes) -> tuple[int, bytes] | None:
        for height in self.index.candidates(block_hash):
            raw = self._slice(height, height + 1)
            if sha256(sha256(raw).digest()).digest() == block_hash:
                return height, raw
        return None

    def work_at(self, height: int) -> int:
        start = height // SPAN * SPAN
        return self.works[height // SPAN] + _work(self.read(start, height + 1 - start))

    def _note(self, raw: bytes, hashes: bytes) -> None:
        """Index headers that were added at the end."""
        height = self.count
        self.index.extend(hashes)
        at = 0
        while at < len(raw):
            upto = min(len(raw), at + (SPAN - height % SPAN) * HEADER)
            self._total += _work(raw[at:upto])
            height += (upto - at) // HEADER
            at = upto
            if height % SPAN == 0:
                self.works.append(self._total)

    def _forget(self, count: int) -> None:
        self.index.truncate(count)
        del self.works[count // SPAN + 1 :]
        self._total = self.work_at(count - 1) if count else 0

    def _at(self, height: int) -> bytes:
        return self._slice(height, height + 1)

    def _slice(self, first: int, end: int) -> bytes:
        """The headers at ``first .. end - 1``, which are held."""
        raise AssertionError("a subclass says where headers are")


class MemoryBulk(FlatHeaders):
    """Gone with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._raw = bytearray()

    def append(self, raw: bytes, hashes: bytes) -> None:
        self._raw += raw
        self._note(raw, hashes)

    def truncate(self, count: int) -> None:
        if count < self.count:
            del self._raw[count * HEADER :]
            self._forget(count)

    def close(self) -> None:
        """Nothing is open."""

    def _slice(self, first: int, end: int) -> bytes:
        return bytes(self._raw[first * HEADER : end * HEADER])


def hashes_of(raw: bytes) -> bytes:
    """The hash of each header, 32 bytes each, in wire order."""
    return b"".join(map(header_hash, split(raw)))


def _work(raw: bytes) -> int:
    _, _, bits = number_columns(raw)
    return sum(work_of(each) * times for each, times in Counter(bits).items())
