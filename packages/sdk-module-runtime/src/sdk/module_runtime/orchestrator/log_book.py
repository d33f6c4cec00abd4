"""The last lines of each module in memory, all of them for a while in files, and the newest for whoever follows."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import IO, TYPE_CHECKING, Final

import orjson

from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_log = get_logger(__name__)
KEPT: Final = 1_000
"""Lines of each module in memory."""
FILE_SIZE: Final = 10 * 1024 * 1024
FILES: Final = 3
_BEHIND: Final = 1_000
LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    level: str
    text: str

    def to_json(self) -> bytes:
        return orjson.dumps({"at": self.at.isoformat(), "level": self.level, "line": self.text})


class _File(RotatingFileHandler):
    """Says once that it cannot write, and once that it can again; the lines between are lost to the file alone."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=FILE_SIZE, backupCount=FILES - 1, encoding="utf-8", errors="backslashreplace", delay=True
        )
        self.unwritten = 0

    def _open(self) -> IO[str]:  # type: ignore[override]  # it is more than the base class asks
        """For this user alone."""
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )

    def write(self, line: str) -> None:
        before = self.unwritten
        self.emit(logging.makeLogRecord({"msg": line}))
        if before and self.unwritten == before:
            _log.warning("module_log_written_again", file=self.baseFilename, lines_lost=before)
            self.unwritten = 0

    def close(self) -> None:
        with suppress(OSError):  # what it could not write was told
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        if not self.unwritten:
            _log.error("module_log_not_written", file=self.baseFilename, reason=str(sys.exc_info()[1]))
        self.unwritten += 1


class LogBook:
    """``folder`` is made if it is missing; None keeps no files."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock
        self._lines: dict[str, deque[Line]] = {}
        self._files: dict[str, _File] = {}
        self._followers: dict[str, set[asyncio.Queue[Line]]] = {}
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, module_id: str, level: str, text: str) -> None:
        line = Line(self._clock(), level, text)
        self._lines.setdefault(module_id, deque(maxlen=KEPT)).append(line)
        if self._folder is not None:
            self._file(module_id, self._folder).write(line.to_json().decode())
        for queue in self._followers.get(module_id, ()):
            if queue.full():
                queue.get_nowait()  # who does not keep up loses the oldest
            queue.put_nowait(line)

    def last(self, module_id: str, count: int, level: str = "debug") -> list[Line]:
        """The newest ``count`` lines of at least ``level``, oldest first."""
        least = LEVELS.index(level)
        found = [line for line in self._lines.get(module_id, ()) if LEVELS.index(line.level) >= least]
        return found[-count:] if count else []

    @contextmanager
    def followed(self, module_id: str) -> Iterator[asyncio.Queue[Line]]:
        """Lines as they come, from now on."""
        queue: asyncio.Queue[Line] = asyncio.Queue(_BEHIND)
        followers = self._followers.setdefault(module_id, set())
        followers.add(queue)
        try:
            yield queue
        finally:
            followers.discard(queue)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, module_id: str, folder: Path) -> _File:
        if module_id not in self._files:
            self._files[module_id] = _File(folder / f"{module_id}.log")
        return self._files[module_id]
