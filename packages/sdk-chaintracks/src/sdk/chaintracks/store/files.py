"""Buried headers in a folder of flat files, in the layout that header CDNs serve.

<chain>Net_<i>.headers   100,000 headers of 80 bytes each, the last file fewer
committed                how many are acknowledged
index                    heights by hash, made again when it is missing
lock                     held by the one process that writes
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final
from zlib import crc32

from sdk.chaintracks.consensus.fields import HEADER, header_hash, previous_hash
from sdk.chaintracks.store import snapshot
from sdk.chaintracks.store.commit_record import CommitRecord
from sdk.chaintracks.store.flat import FlatHeaders, hashes_of
from sdk.chaintracks.store.segments import PER_FILE, Segments, refuse_another_network, sync_folder
from sdk.core.errors import ConfigurationError, StorageUnavailable
from sdk.service import failpoints
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from pathlib import Path

SAVE_EVERY: Final = 100_000
"""Headers after which the index is written again."""
_STEP: Final = 8192
_CHECK_STEP: Final = 50_000
"""Headers of which a checksum is made at a time."""

log = get_logger(__name__)


class FolderTaken(ConfigurationError):
    """Another process writes to the folder."""


class FileBulk(FlatHeaders):
    """One process has a folder at a time; others read it with ``reading.FolderReader``.

    Raises ``FolderTaken`` for a folder that another process writes to, ``ConfigurationError`` for one that cannot be
    used.
    """

    def __init__(self, folder: Path, chain: str, *, per_file: int = PER_FILE) -> None:
        super().__init__()
        self.folder = folder
        self._lock: int | None = None
        self._saved = 0
        self._check: int | None = 0  # CRC-32 of all headers; None when it must be made anew
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
            refuse_another_network(folder, chain)
            self._record = CommitRecord(folder / "committed", writable=True)  # first: it never runs ahead
            self._segments = Segments(folder, chain, per_file=per_file)
        except OSError as error:
            self._unlock()
            raise ConfigurationError(f"the header folder {folder} cannot be used: {error.strerror}") from error
        except ConfigurationError:
            self._unlock()
            raise
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    @property
    def per_file(self) -> int:
        return self._segments.per_file

    def path(self, number: int) -> Path:
        """The file of the headers from height ``number * per_file`` on."""
        return self._segments.path(number)

    def append(self, raw: bytes, hashes: bytes) -> None:
        if not raw:
            return
        count = self.count
        try:
            failpoints.reach("chaintracks.files.before-write")
            self._segments.write(count, raw)
            failpoints.reach("chaintracks.files.after-write")
            self._record.write(count + len(raw) // HEADER, hashes[-32:])
            failpoints.reach("chaintracks.files.after-commit")
        except OSError as error:
            with contextlib.suppress(OSError):  # what is left behind is not acknowledged, and is cut off at the start
                self._segments.cut(count)
            raise StorageUnavailable(
                f"headers cannot be written to {self.folder}: {error.strerror}; make room or mend the disk"
            ) from error
        self._took(raw, hashes)
        if self.count - self._saved >= SAVE_EVERY:
            self._save()

    def truncate(self, count: int) -> None:
        if count >= self.count:
            return
        try:
            self._record.write(count, header_hash(self._at(count - 1)) if count else bytes(32))
            failpoints.reach("chaintracks.files.before-cut")
            self._segments.cut(count)
        except OSError as error:
            raise StorageUnavailable(f"headers cannot be cut off in {self.folder}: {error.strerror}") from error
        self._forget(count)
        self._saved = min(self._saved, count)

    def close(self) -> None:
        if self.count != self._saved:
            self._save()
        self._segments.close()
        self._record.close()
        self._unlock()

    def _slice(self, first: int, end: int) -> bytes:
        return self._segments.slice(first, end)

    # opening

    def _load(self) -> None:
        """Cut off what was never acknowledged, and take the index; headers since it was saved are looked at."""
        committed = self._record.last
        known = 0 if committed is None else min(committed.headers, self._segments.stored)
        if committed is None and self._segments.stored:
            log.warning("headers nobody acknowledged are dropped", folder=str(self.folder))
        self._segments.cut(known)
        found = snapshot.load(self.folder / "index")
        if found is not None and self._fits(found, known):
            self.index.keys, self.index.slots, self.works = found.keys, found.slots, found.works
            self._total = self.work_at(self.count - 1)
            self._saved, self._check = self.count, found.check
        self._index_up_to(known)
        wrong_tip = committed is not None and known == committed.headers and self._tip() != committed.tip
        if self.count < known or wrong_tip or (committed is not None and known < committed.headers):
            self._mend(known if committed is None else committed.headers)

    def _fits(self, found: snapshot.Snapshot, known: int) -> bool:
        """Whether it is the index of these very headers, bit for bit."""
        count = len(found.keys)
        if not 0 < count <= known or header_hash(self._at_disk(count - 1)) != found.tip:
            return False
        return self._checked(count) == found.check

    def _checked(self, count: int) -> int:
        check = 0
        for first in range(0, count, _CHECK_STEP):
            check = crc32(self._segments.slice(first, min(count, first + _CHECK_STEP)), check)
        return check

    def _took(self, raw: bytes, hashes: bytes) -> None:
        self._note(raw, hashes)
        if self._check is not None:
            self._check = crc32(raw, self._check)

    def _forget(self, count: int) -> None:
        super()._forget(count)
        self._check = None

    def _index_up_to(self, known: int) -> None:
        """Index headers while each follows the one before."""
        while self.count < known:
            first = self.count
            raw = self._segments.slice(first, min(known, first + _STEP))
            hashes = hashes_of(raw)
            before = (header_hash(self._at_disk(first - 1)) if first else bytes(32)) + hashes
            whole = 0
            while raw[whole * HEADER + 4 : whole * HEADER + 36] == before[whole * 32 : whole * 32 + 32]:
                whole += 1
            self._took(raw[: whole * HEADER], hashes[: whole * 32])
            if whole * HEADER < len(raw):
                return  # what follows is damaged

    def _mend(self, expected: int) -> None:
        """Acknowledged headers are damaged or gone: keep those before, the sources give the rest again."""
        whole = self._whole()
        log.error("stored headers are damaged", folder=str(self.folder), expected=expected, kept=whole)
        self._forget(whole)
        self._saved = min(self._saved, whole)
        self._record.write(whole, self._tip())
        self._segments.cut(whole)

    def _whole(self) -> int:
        """Headers that follow one another from the first on; the last has nothing after it that would vouch for it."""
        before, at = bytes(32), 0
        while at < self.count:
            raw = self._segments.slice(at, min(self.count, at + _STEP))
            for offset in range(0, len(raw), HEADER):
                header = raw[offset : offset + HEADER]
                if previous_hash(header) != before:
                    return max(0, at - 1)
                before, at = header_hash(header), at + 1
        return max(0, self.count - 1)

    def _at_disk(self, height: int) -> bytes:
        return self._segments.slice(height, height + 1)

    def _tip(self) -> bytes:
        return header_hash(self._at_disk(self.count - 1)) if self.count else bytes(32)

    def _save(self) -> None:
        if not self.count:
            return
        if self._check is None:
            self._check = self._checked(self.count)
        index = snapshot.Snapshot(self._tip(), self._check, self.index.keys, self.index.slots, self.works)
        try:
            snapshot.save(self.folder / "index", index)
            sync_folder(self.folder)
        except OSError as error:  # it is made again at the next start
            log.warning("the index of headers was not saved", folder=str(self.folder), reason=str(error))
            return
        self._saved = self.count

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise FolderTaken(
            f"another process writes to the header folder {path.parent}: stop it, or name a folder of its own"
        ) from None
    return descriptor
