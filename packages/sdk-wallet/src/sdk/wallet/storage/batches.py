"""Long IN lists in pieces: SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")
BATCH = 5_000


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[list[T]]:
    """One list in all ordinary cases; nothing for no items."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
