"""Which fail points a run has passed, and which of them to kill at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ALL = os.environ.get("SDK_CRASH_ALL") == "1"


def recorded(file: Path) -> list[str]:
    """The points that ``record:<file>`` wrote, in order."""
    return [line.split(" ", 1)[1] for line in file.read_text().splitlines()]


def sample(points: Sequence[str], every: int) -> list[tuple[int, str]]:
    """Number and name of each ``every``-th point, the last among them; of all under ``SDK_CRASH_ALL=1``."""
    step = 1 if ALL else every
    return [(number, point) for number, point in enumerate(points, 1) if (len(points) - number) % step == 0]
