"""What a module writes, as bounded lines: a flood or an endless line costs memory and time to nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from sdk.module_runtime.secrets.redaction import SECRETS, StreamRedactor
from sdk.service.logging import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.secrets.redaction import SecretRegistry

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
    """Cuts a stream of bytes into lines and hands ``(level, line)`` to ``sink``, without the secrets of ``registry``.

    A line is cut at ``LONGEST_LINE`` bytes; more than ``LINES_A_SECOND`` (after a burst) are counted in ``dropped``. A
    secret of several lines is found across them, so a line that may be the beginning of one waits for the next.
    """

    sink: Callable[[str, str], None]
    clock: Callable[[], float]
    registry: SecretRegistry = SECRETS
    dropped: int = 0
    truncated: int = 0
    _partial: bytearray = field(default_factory=bytearray)
    _skipping: bool = False
    _allowance: float = BURST
    _refilled_at: float | None = None
    _clean: str = ""

    def __post_init__(self) -> None:
        self._redactor = StreamRedactor(self.registry)

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
        self._show(self._redactor.finish() + "\n")

    def note(self, level: str, text: str) -> None:
        """One line that did not come out of the stream, under the same limits."""
        if self._allowed():
            self.sink(level, redact_text(self.registry.redact(text[:LONGEST_LINE])))
        else:
            self.dropped += 1

    def _add(self, piece: bytes) -> None:
        room = LONGEST_LINE - len(self._partial)
        self._partial += piece[:room]
        if len(piece) > room and not self._skipping:
            self._skipping = True
            self.truncated += 1

    def _end_line(self) -> None:
        line, was_cut = bytes(self._partial).rstrip(b"\r"), self._skipping
        self._partial, self._skipping = bytearray(), False
        if not line:
            return
        if not self._allowed():
            self.dropped += 1
            return
        text = line.decode("utf-8", "backslashreplace")
        if was_cut:  # perhaps in the middle of a secret
            text = StreamRedactor(self.registry).feed(text)
        self._show(self._redactor.feed(text + "\n"))

    def _show(self, clean: str) -> None:
        *lines, self._clean = (self._clean + clean).split("\n")
        for line in lines:
            if line:
                self.sink(_level(line), redact_text(line))

    def _allowed(self) -> bool:
        now = self.clock()
        if self._refilled_at is not None:
            self._allowance = min(BURST, self._allowance + (now - self._refilled_at) * LINES_A_SECOND)
        self._refilled_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def _level(line: str) -> str:
    """The level of a structured (JSON) line; ``info`` for anything else."""
    if line.startswith("{"):
        try:
            level = orjson.loads(line).get("level")
        except orjson.JSONDecodeError:
            return "info"
        if isinstance(level, str):
            return _LEVELS.get(level.lower(), "info")
    return "info"
