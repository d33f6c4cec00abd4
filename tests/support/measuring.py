"""Rates that other work on the machine disturbs little.

All contestants take turns in samples of some hundredths of a second, and the best sample of each counts: the one that
nothing disturbed. The clock is that of the process, which stands still while others have the processor. With
``one_core`` they share a core too, for cores differ in speed by half when neighbours use some of them. A slow spell of
the machine that lasts seconds slows all alike, so ratios hold.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Contestant: TypeAlias = Callable[[float], float]
    """Works for about so many seconds of processor time; operations a second of it."""

SAMPLE = 0.02
ROUNDS = 30
ENOUGH = 5.0  # seconds: one whose every run takes longer than a sample gets fewer turns


@contextmanager
def one_core() -> Iterator[None]:
    """This process, and those it starts meanwhile, on one core (where the system can do that)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def contest(
    run: Callable[[], object], others: Mapping[str, Contestant] | None = None
) -> tuple[float, dict[str, float]]:
    """Operations a second of ours, and of each other contestant."""
    contestants = {"": contestant(run), **(others or {})}
    best = dict.fromkeys(contestants, 0.0)
    spent = dict.fromkeys(contestants, 0.0)
    for _ in range(ROUNDS):
        for name, measure in contestants.items():
            if spent[name] < ENOUGH:
                start = time.perf_counter()
                best[name] = max(best[name], measure(SAMPLE))
                spent[name] += time.perf_counter() - start
    return best.pop(""), best


def contestant(run: Callable[[], object]) -> Contestant:
    """One that works in this process; the clock is read about a hundred times a sample."""
    run()
    start = time.process_time()
    run()
    batch = max(1, int(SAMPLE / 100 / max(time.process_time() - start, 1e-9)))

    def measure(seconds: float) -> float:
        count, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds:
            for _ in range(batch):
                run()
            count += batch
        return count / spent

    return measure


def import_time(statement: str, before: str = "pass") -> float:
    """Milliseconds of processor time that ``statement`` takes in a fresh interpreter, after ``before``;
    the best of five.
    """
    program = f"{before}\nimport time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    command = [sys.executable, "-c", program]
    spent = (float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(5))
    return 1000 * min(spent)
