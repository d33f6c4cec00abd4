"""Files that were downloaded, named by the digest of what they must hold, and those that are half way there."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.store.segments import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

_KEEP: Final = 2
"""Whole files that stay, and unfinished ones; the store has what was in the others."""


class DigestMismatch(Exception):
    """A whole file is not the one its digest names; it is gone."""


class DownloadCache:
    """One process has a folder of these. ``<digest>.part`` grows as parts come, after a restart too, and becomes
    ``<digest>.headers`` at once and whole. Methods raise ``OSError``."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder, self._lock = folder, lock

    @classmethod
    def open(cls, folder: Path) -> DownloadCache | None:
        """None when another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return cls(folder, lock)

    def close(self) -> None:
        os.close(self._lock)

    async def whole(self, digest: bytes) -> bytes | None:
        """The file; one that is damaged is deleted."""
        path = self._path(digest)
        raw = await asyncio.to_thread(_read, path)
        if raw is not None and await asyncio.to_thread(lambda: sha256(raw).digest()) != digest:
            path.unlink()
            return None
        return raw

    def held(self, digest: bytes) -> int:
        """Bytes that came so far."""
        try:
            return self._part(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def add(self, digest: bytes, data: bytes) -> None:
        with self._part(digest).open("ab") as file:
            file.write(data)

    async def finish(self, digest: bytes) -> bytes:
        """What came, now that it is all there. Raises ``DigestMismatch``."""
        return await asyncio.to_thread(self._finish, digest)

    def drop(self, digest: bytes) -> None:
        self._part(digest).unlink(missing_ok=True)

    def _finish(self, digest: bytes) -> bytes:
        part, path = self._part(digest), self._path(digest)
        raw = part.read_bytes()
        if sha256(raw).digest() != digest:
            part.unlink()
            raise DigestMismatch
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(self._folder)
        for kind in ("*.headers", "*.part"):  # a part whose file was replaced meanwhile is never finished
            for each in sorted(self._folder.glob(kind), key=_age)[:-_KEEP]:
                each.unlink()
        return raw

    def _path(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}.headers"

    def _part(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}.part"


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None
