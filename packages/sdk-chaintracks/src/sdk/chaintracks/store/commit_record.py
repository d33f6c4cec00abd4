"""Which headers of the files count: one small record in two alternating slots, so that a torn write leaves the other."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from zlib import crc32

_SLOT = Struct("<QQQ32s32s")
_SIZE = 128
SLOTS = 2


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """``count`` headers of manifest ``generation``, the hash of the last and the work of all; ``sequence`` rises."""

    sequence: int
    generation: int
    count: int
    tip_hash: bytes
    work: int

    @property
    def offset(self) -> int:
        return self.sequence % SLOTS * _SIZE

    def to_bytes(self) -> bytes:
        body = _SLOT.pack(self.sequence, self.generation, self.count, self.tip_hash, self.work.to_bytes(32, "little"))
        return (body + crc32(body).to_bytes(4, "little")).ljust(_SIZE, b"\0")

    @classmethod
    def read_all(cls, data: bytes) -> list[CommitRecord]:
        """The whole records in the slots, newest first."""
        found = []
        for at in range(0, SLOTS * _SIZE, _SIZE):
            body, check = data[at : at + _SLOT.size], data[at + _SLOT.size : at + _SLOT.size + 4]
            if len(check) == 4 and crc32(body).to_bytes(4, "little") == check:
                sequence, generation, count, tip_hash, work = _SLOT.unpack(body)
                found.append(cls(sequence, generation, count, tip_hash, int.from_bytes(work, "little")))
        return sorted(found, key=lambda record: -record.sequence)
