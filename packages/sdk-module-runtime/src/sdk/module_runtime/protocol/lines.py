"""One JSON document a line. The length of a line is bounded while it arrives, so that a peer cannot fill the memory."""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 33 * 1024 * 1024
"""Bytes, without the newline. A body of 8 MiB fits, written as integers of up to three digits and a comma each."""


class LineDecoder:
    """Cuts a stream into lines, however its bytes arrive. Empty lines and lines over the limit are left out.

    >>> decoder = LineDecoder()
    >>> decoder.feed(b"one")
    []
    >>> decoder.feed(b" line" + bytes([10]) + b"two")
    [b'one line']
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._partial = bytearray()
        self._skipping = False
        self.too_long = 0
        """Lines that were over the limit."""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            line = self._end(end)
            if line:
                lines.append(line)
        self._hold(rest)
        return lines

    def finish(self) -> bytes:
        """What came after the last newline: a line that its writer did not end, and nobody should believe."""
        partial, self._partial, self._skipping = bytes(self._partial), bytearray(), False
        return partial

    def _end(self, piece: bytes) -> bytes:
        if not self._partial and not self._skipping and len(piece) <= self._limit:
            return piece.rstrip(b"\r")
        self._hold(piece)
        line = b"" if self._skipping else bytes(self._partial).rstrip(b"\r")
        self._partial, self._skipping = bytearray(), False
        return line

    def _hold(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._partial) + len(piece) > self._limit:
            self._partial, self._skipping = bytearray(), True
            self.too_long += 1
        else:
            self._partial += piece
