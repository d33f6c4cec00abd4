"""The few file operations a crash-safe store needs. A test replaces them to stop at any byte."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, NoReturn

from sdk.chaintracks.errors import StoreError, StoreFull

if TYPE_CHECKING:
    from pathlib import Path


class Disk:
    """Everything is on the disk when a method returns. Raises ``StoreFull`` or ``StoreError``."""

    def write_at(self, path: Path, offset: int, data: bytes) -> None:
        """Write into ``path`` (made if missing) at ``offset``."""
        try:
            created = not path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            try:
                view = memoryview(data)
                while view:
                    written = os.pwrite(descriptor, view, offset)
                    view, offset = view[written:], offset + written
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if created:
                self._sync_folder(path.parent)
        except OSError as error:
            explain(error, path)

    def write_whole(self, path: Path, data: bytes) -> None:
        """Put ``data`` in the place of ``path`` at once: a reader sees the old file or the new."""
        draft = path.with_name(path.name + ".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            self.write_at(draft, 0, data)
            os.replace(draft, path)
            self._sync_folder(path.parent)
        except OSError as error:
            explain(error, path)

    def remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            explain(error, path)

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def explain(error: OSError, path: Path) -> NoReturn:
    """Raise our error for the system's, saying what to do."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoreFull(f"no space left to write {path}: free some; nothing that was stored is lost") from error
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise StoreError(f"cannot write {path} ({reason}): give this user write access, or name another folder") from error
    raise StoreError(f"cannot use {path}: {reason}") from error
