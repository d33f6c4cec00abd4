"""Mutation fuzzing of keys, templates, certificates, the script machine and SPV, a new seed each round."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from support.fuzzing import fuzz
from support.wallet_targets import targets

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE = 20.0


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` on the monotonic clock; raises ``AssertionError`` with the input a parser failed on."""
    found = targets()
    portion = min(SLICE, max(1.0, (deadline - time.monotonic()) / len(found)))
    totals = {target.name: [0, 0] for target in found}
    while time.monotonic() < deadline:
        for target in found:
            seed = int.from_bytes(os.urandom(4), "little")
            tried, parsed = fuzz(target, seed, deadline=min(deadline, time.monotonic() + portion))
            totals[target.name][0] += tried
            totals[target.name][1] += parsed
            say(f"{target.name}: {totals[target.name][0]:,} inputs, {totals[target.name][1]:,} parsed (seed {seed})")
