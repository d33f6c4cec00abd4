"""Check a file of 80-byte headers without a database. Memory stays flat whatever the size of the file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus import Window, check_batch
from sdk.chaintracks.consensus.batch import join
from sdk.chaintracks.consensus.fields import HEADER, display
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sdk.chaintracks.consensus import Rules, Unchecked

CHUNK = 8192
"""Headers that are read and checked at a time."""


@dataclass(slots=True)
class Verified:
    """A chain of headers that holds; ``work`` is theirs alone, ``unchecked`` what could not be judged."""

    first: int
    last: int
    tip_hash: str
    work: int
    seconds: float
    unchecked: list[Unchecked] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.last - self.first + 1


def verify_file(
    rules: Rules, path: Path, first: int, *, now: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> Verified:
    """Check the file as the headers from height ``first`` on.

    Raises ``InvalidHeader`` for the lowest height that breaks a rule, ``ParseError`` for a file that holds no headers,
    ``OSError``.
    """
    started = clock()
    size = path.stat().st_size
    with path.open("rb") as file:
        _plausible(path, size, file.peek(16)[:16] if size else b"")
        found = Verified(first, first - 1, "", 0, 0.0)
        parent: bytes | None = None
        window = Window(first)
        while raw := file.read(CHUNK * HEADER):
            batch = check_batch(rules, raw, found.last + 1, parent, window, now)
            parent, window = batch.hashes[-1], batch.window
            found.last, found.tip_hash = batch.last, display(parent)
            found.work += batch.work
            found.unchecked = join([*found.unchecked, *batch.unchecked])
    found.seconds = clock() - started
    return found


def _plausible(path: Path, size: int, start: bytes) -> None:
    if size == 0:
        raise ParseError("header file", f"{path} is empty")
    if start.lstrip()[:1] in (b"<", b"{", b"["):
        raise ParseError("header file", f"{path} is text ({start[:12]!r}), not headers of {HEADER} bytes each")
    if size % HEADER:
        whole = size // HEADER
        raise ParseError(
            "header file",
            f"{path} has {size} bytes, {size - whole * HEADER} more than {whole} headers of {HEADER}",
            size,
        )
