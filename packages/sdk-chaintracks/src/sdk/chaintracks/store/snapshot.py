"""The index of a folder of headers as a file, so that a start need not hash every header. It may always be missing."""

from __future__ import annotations

import os
import sys
from array import array
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from sdk.chaintracks.store.hash_index import WORD

if TYPE_CHECKING:
    from pathlib import Path

_HEAD: Final = Struct("<8sIII32sI")
_MAGIC: Final = b"SDKHIDX2"
_WORK: Final = 32


class Snapshot(NamedTuple):
    """Index and remembered work of the first ``len(keys)`` headers, the last of which has hash ``tip``.

    ``check`` is the CRC-32 of those headers: a bit that turns on the disk is found at the next start.
    """

    tip: bytes
    check: int
    keys: array[int]
    slots: array[int]
    works: list[int]


def save(path: Path, snapshot: Snapshot) -> None:
    """Replaces the file as a whole. Raises ``OSError``."""
    sizes = len(snapshot.keys), len(snapshot.slots), len(snapshot.works)
    head = _HEAD.pack(_MAGIC, *sizes, snapshot.tip, snapshot.check)
    works = b"".join(each.to_bytes(_WORK, "little") for each in snapshot.works)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        check = 0
        for part in (head, _bytes(snapshot.keys), _bytes(snapshot.slots), works):
            file.write(part)
            check = crc32(part, check)
        file.write(check.to_bytes(4, "little"))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load(path: Path) -> Snapshot | None:
    """None for a file that is missing or not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) < _HEAD.size + 4 or crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
        return None
    if not data.startswith(_MAGIC):
        return None
    _, count, slots, works, tip, check = _HEAD.unpack_from(data)
    ends = [_HEAD.size, count * WORD, slots * WORD, works * _WORK]
    if sum(ends) + 4 != len(data):
        return None
    keys_at, slots_at, works_at = ends[0], ends[0] + ends[1], sum(ends[:3])
    found = [int.from_bytes(data[at : at + _WORK], "little") for at in range(works_at, len(data) - 4, _WORK)]
    return Snapshot(tip, check, _array(data[keys_at:slots_at]), _array(data[slots_at:works_at]), found)


def _bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _array(data: bytes) -> array[int]:
    numbers = array("I")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
