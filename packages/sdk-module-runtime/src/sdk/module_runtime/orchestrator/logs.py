"""What a module writes, as bounded lines: a flood or an endless line costs memory and time to nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from sdk.service.logging import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_LINE: Final = 16_384
LINES_A_SECOND: Final = 200.0
BURST: Final = 2_000.0
_LEVELS: Final = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
}


@dataclass
class LogCollector:
    """Cuts a stream of bytes into lines and hands ``(level, line)`` to ``sink``.

    A line is cut at ``LONGEST_LINE`` bytes; more than ``LINES_A_SECOND`` (after a burst) are counted in ``dropped``.
    """

    sink: Callable[[str, str], None]
    clock: Callable[[], float]
    dropped: int = 0
    truncated: int = 0
    _partial: bytearray = field(default_factory=bytearray)
    _skipping: bool = False
    _allowance: float = BURST
    _refilled_at: float | None = None

    def feed(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._add(piece)
            self._end_line()
        self._add(rest)

    def finish(self) -> None:
        """The stream is over: what has no newline is a line too."""
        if self._partial:
            self._end_line()

    def note(self, level: str, text: str) -> None:
        """One line that did not come out of the stream, under the same limits."""
        if self._allowed():
            self.sink(level, redact_text(text[:LONGEST_LINE]))
        else:
            self.dropped += 1

    def _add(self, piece: bytes) -> None:
        room = LONGEST_LINE - len(self._partial)
        self._partial += piece[:room]
        if len(piece) > room and not self._skipping:
            self._skipping = True
            self.truncated += 1

    def _end_line(self) -> None:
        line, self._partial, self._skipping = bytes(self._partial).rstrip(b"\r"), bytearray(), False
        if not line:
            return
        if not self._allowed():
            self.dropped += 1
            return
        self.sink(_level(line), redact_text(line.decode("utf-8", "backslashreplace")))

    def _allowed(self) -> bool:
        now = self.clock()
        if self._refilled_at is not None:
            self._allowance = min(BURST, self._allowance + (now - self._refilled_at) * LINES_A_SECOND)
        self._refilled_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def _level(line: bytes) -> str:
    """The level of a structured (JSON) line; ``info`` for anything else."""
    if line.startswith(b"{"):
        try:
            level = orjson.loads(line).get("level")
        except orjson.JSONDecodeError:
            return "info"
        if isinstance(level, str):
            return _LEVELS.get(level.lower(), "info")
    return "info"
