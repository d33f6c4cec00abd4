"""What one statement may take, where the database is lent to somebody who is not trusted with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatementLimits:
    """``rows`` and ``bytes`` of what it returns, and ``seconds`` until it is stopped."""

    rows: int
    bytes: int
    seconds: float
