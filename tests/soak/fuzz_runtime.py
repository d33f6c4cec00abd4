"""Messages of a module that are nearly right, against the orchestrator and its services, a new seed each round."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from support.hostile_messages import bombard

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 20_000


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` on the monotonic clock; raises ``AssertionError`` with the seed and what broke."""
    totals: Counter[str] = Counter()
    while time.monotonic() < deadline:
        seed = int.from_bytes(os.urandom(4), "little")
        with tempfile.TemporaryDirectory() as folder:
            totals.update(asyncio.run(bombard(Path(folder), seed, ROUNDS)))
        say(f"{totals['received']:,} messages taken, {totals['refused']:,} refused (seed {seed})")
