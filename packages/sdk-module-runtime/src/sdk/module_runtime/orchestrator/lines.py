"""Lines of the protocol out of a stream of bytes; one that is too long is skipped and counted, never held."""

from __future__ import annotations

from typing import Final

LONGEST_MESSAGE: Final = 8 * 1024 * 1024
"""Bytes. A body stands on stdio as an array of integers, about four bytes for each of its own."""


class LineSplitter:
    def __init__(self, longest: int = LONGEST_MESSAGE) -> None:
        self.longest, self.too_long = longest, 0
        self._partial: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their newlines; empty ones are left out."""
        *ended, rest = data.split(b"\n")
        lines = [line for piece in ended if (line := self._end(piece))]
        self._hold(rest)
        return lines

    def finish(self) -> list[bytes]:
        """The stream is over: what has no newline is a line too."""
        line = self._end(b"")
        return [line] if line else []

    def _hold(self, piece: bytes) -> None:
        if self._held + len(piece) > self.longest and not self._skipping:
            self._skipping = True
            self.too_long += 1
            self._partial.clear()
        if piece and not self._skipping:
            self._partial.append(piece)
            self._held += len(piece)

    def _end(self, piece: bytes) -> bytes:
        self._hold(piece)
        line = b"".join(self._partial)
        self._partial.clear()
        self._held, self._skipping = 0, False
        return line.removesuffix(b"\r")
