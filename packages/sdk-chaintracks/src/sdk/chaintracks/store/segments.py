"""Files of consecutive headers, ``<chain>Net_<i>.headers`` as the reference names them, mapped into memory."""

from __future__ import annotations

import mmap
import os
import re
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER
from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

PER_FILE: Final = 100_000
"""Headers of a full file."""
_NAME: Final = re.compile(r"(\w+)Net_[0-9]+\.headers")


class Segments:
    """Heights from 0 on; every file but the last is full. Methods raise ``OSError``."""

    def __init__(self, folder: Path, chain: str, *, per_file: int = PER_FILE) -> None:
        self.folder, self.per_file = folder, per_file
        self._chain = chain
        self._files: list[int] = []
        self._maps: list[mmap.mmap | None] = []
        size = per_file * HEADER
        while self.path(len(self._files)).exists() and size == per_file * HEADER:
            size = self._open(len(self._files))
        self.stored = self._measure()

    def path(self, number: int) -> Path:
        return self.folder / segment_name(self._chain, number)

    def slice(self, first: int, end: int) -> bytes:
        """The headers at ``first .. end - 1``, all of which are stored."""
        number, at = divmod(first, self.per_file)
        upto = at + end - first
        if upto <= self.per_file:
            mapped = self._maps[number]
            assert mapped is not None
            return mapped[at * HEADER : upto * HEADER]
        return self.slice(first, first - at + self.per_file) + self.slice(first - at + self.per_file, end)

    def write(self, height: int, raw: bytes) -> None:
        """Put headers at ``height``, right after what is stored, and onto the disk."""
        number, at = divmod(height, self.per_file)
        done = 0
        while done < len(raw):
            made = number == len(self._files)
            if made:
                self._open(number)
            part = raw[done : done + (self.per_file - at) * HEADER]
            _write_all(self._files[number], part, at * HEADER)
            os.fsync(self._files[number])
            if made:
                sync_folder(self.folder)
            self._map(number)
            done, number, at = done + len(part), number + 1, 0
        self.stored = self._measure()

    def cut(self, count: int) -> None:
        """Keep the first ``count`` headers, and no torn one after them."""
        last = max(0, count - 1) // self.per_file
        for number in range(len(self._files) - 1, -1, -1):
            size = min(max(0, count - number * self.per_file), self.per_file) * HEADER
            if os.fstat(self._files[number]).st_size > size:
                self._unmap(number)
                os.ftruncate(self._files[number], size)
                os.fsync(self._files[number])
                self._map(number)
            if number > last:
                self._unmap(number)
                self._maps.pop()
                os.close(self._files.pop())
                self.path(number).unlink()
        self.stored = self._measure()

    def close(self) -> None:
        for number, each in enumerate(self._files):
            self._unmap(number)
            os.close(each)
        self._files.clear()
        self._maps.clear()

    def _open(self, number: int) -> int:
        """Size in bytes."""
        self._files.append(os.open(self.path(number), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644))
        self._maps.append(None)
        self._map(number)
        return os.fstat(self._files[number]).st_size

    def _map(self, number: int) -> None:
        self._unmap(number)
        size = os.fstat(self._files[number]).st_size
        self._maps[number] = mmap.mmap(self._files[number], size, prot=mmap.PROT_READ) if size else None

    def _unmap(self, number: int) -> None:
        mapped = self._maps[number]
        if mapped is not None:
            mapped.close()
        self._maps[number] = None

    def _measure(self) -> int:
        if not self._files:
            return 0
        return (len(self._files) - 1) * self.per_file + os.fstat(self._files[-1]).st_size // HEADER


def segment_name(chain: str, number: int) -> str:
    return f"{chain}Net_{number}.headers"


def refuse_another_network(folder: Path, chain: str) -> None:
    """Raises ``ConfigurationError`` for a folder that holds the files of another network, ``OSError``."""
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is not None and match[1] != chain:
            raise ConfigurationError(
                f"the header folder {folder} holds headers of {match[1]}, not of {chain}: "
                f"name a database, or a folder (--store files:FOLDER), of its own for {chain}"
            )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
