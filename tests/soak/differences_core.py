"""Damaged transactions, paths and BEEFs before us and @bsv/sdk, a new seed each round (docs/differences.md)."""

from __future__ import annotations

import os
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from support.core_targets import family, known_beefs, known_paths
from support.differential import campaign
from support.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND = 500


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` (monotonic clock); raises ``AssertionError`` with the bytes of an unexplained difference."""
    seeds = {
        "transaction": [each.to_bytes() for each in family()],
        "path": [each.to_bytes() for each in known_paths()],
        "beef": list(known_beefs()),
    }
    totals = {operation: Counter[str]() for operation in seeds}
    with Peer.node("core") as peer:
        while time.monotonic() < deadline:
            for operation, known in seeds.items():
                totals[operation].update(campaign(peer, operation, Random(os.urandom(8)), known, ROUND))
            say("; ".join(f"{name}: {dict(counts)}" for name, counts in totals.items()))
