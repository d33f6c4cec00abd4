"""Mutation fuzzing of the BRC-100 binary wire, a new seed each round."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from support.fuzzing import fuzz
from support.wire_targets import targets

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE = 10.0


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` on the monotonic clock; raises ``AssertionError`` with the frame a reader failed on."""
    portion = min(SLICE, max(1.0, (deadline - time.monotonic()) / len(targets())))
    while time.monotonic() < deadline:
        for target in targets():
            seed = int.from_bytes(os.urandom(4), "little")
            tried, parsed = fuzz(target, seed, deadline=min(deadline, time.monotonic() + portion))
            say(f"{target.name}: {tried:,} frames, {parsed:,} understood (seed {seed})")
