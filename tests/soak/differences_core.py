"""Damaged transactions, paths and BEEFs before us and each peer, a new seed each round (docs/differences.md)."""

from __future__ import annotations

import os
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from support.core_targets import family, known_beefs, known_paths
from support.differential import DIFFERENCES, campaign
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
    totals = {name: {operation: Counter[str]() for operation in seeds} for name in DIFFERENCES}
    with Peer.node("core") as node, Peer.python("core") as python:
        while time.monotonic() < deadline:
            for name, peer in (("@bsv/sdk", node), ("bsv-sdk", python)):
                for operation, known in seeds.items():
                    outcomes = campaign(peer, name, operation, Random(os.urandom(8)), known, ROUND)
                    totals[name][operation].update(outcomes)
                say(f"{name}: " + "; ".join(f"{each}: {dict(counts)}" for each, counts in totals[name].items()))
