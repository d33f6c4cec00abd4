"""How many headers of a folder are acknowledged, and the hash of the last: two places, written in turn.

A write that a crash tears spoils one place; the other still says what held before it.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from pathlib import Path

_RECORD: Final = Struct("<8sQQ32s")
_MAGIC: Final = b"SDKHDRS1"
_PLACE: Final = 64


class Committed(NamedTuple):
    """``number`` rises with each write."""

    number: int
    headers: int
    tip: bytes


class CommitRecord:
    """The file ``committed``. Methods raise ``OSError``."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        self._file: int | None = None
        if writable or path.exists():
            self._file = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o644)
        data = b"" if self._file is None else os.pread(self._file, 2 * _PLACE, 0)
        places = [_read(data[at : at + _PLACE]) for at in (0, _PLACE)]
        self.last = max((each for each in places if each is not None), default=None)

    def write(self, count: int, tip: bytes) -> None:
        assert self._file is not None
        number = 1 if self.last is None else self.last.number + 1
        body = _RECORD.pack(_MAGIC, number, count, tip)
        place = (body + crc32(body).to_bytes(4, "little")).ljust(_PLACE, b"\0")
        os.pwrite(self._file, place, number % 2 * _PLACE)
        os.fsync(self._file)
        self.last = Committed(number, count, tip)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _read(place: bytes) -> Committed | None:
    body, check = place[: _RECORD.size], place[_RECORD.size : _RECORD.size + 4]
    if len(body) < _RECORD.size or crc32(body).to_bytes(4, "little") != check:
        return None
    magic, number, count, tip = _RECORD.unpack(body)
    return Committed(number, count, tip) if magic == _MAGIC else None
