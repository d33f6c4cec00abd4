"""The last lines of each module in memory, all of them for a while in files, and the newest for whoever follows."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

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


class LogBook:
    """``folder`` is made if it is missing; None keeps no files."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock
        self._lines: dict[str, deque[Line]] = {}
        self._files: dict[str, RotatingFileHandler] = {}
        self._followers: dict[str, set[asyncio.Queue[Line]]] = {}
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, module_id: str, level: str, text: str) -> None:
        line = Line(self._clock(), level, text)
        self._lines.setdefault(module_id, deque(maxlen=KEPT)).append(line)
        if self._folder is not None:
            self._file(module_id, self._folder).emit(logging.makeLogRecord({"msg": line.to_json().decode()}))
        for queue in self._followers.get(module_id, ()):
            if queue.full():
                queue.get_nowait()  # who does not keep up loses the oldest
            queue.put_nowait(line)

    def last(self, module_id: str, count: int, level: str = "debug") -> list[Line]:
        """The newest ``count`` lines of at least ``level``, oldest first."""
        least = LEVELS.index(level)
        found = [line for line in self._lines.get(module_id, ()) if LEVELS.index(line.level) >= least]
        return found[-count:] if count else []

    async def follow(self, module_id: str, level: str = "debug") -> AsyncIterator[Line]:
        """Lines as they come, without end."""
        queue: asyncio.Queue[Line] = asyncio.Queue(_BEHIND)
        followers = self._followers.setdefault(module_id, set())
        followers.add(queue)
        try:
            while True:
                line = await queue.get()
                if LEVELS.index(line.level) >= LEVELS.index(level):
                    yield line
        finally:
            followers.discard(queue)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, module_id: str, folder: Path) -> RotatingFileHandler:
        if module_id not in self._files:
            path = folder / f"{module_id}.log"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._files[module_id] = RotatingFileHandler(
                path, maxBytes=FILE_SIZE, backupCount=FILES - 1, encoding="utf-8", errors="backslashreplace"
            )
        return self._files[module_id]
