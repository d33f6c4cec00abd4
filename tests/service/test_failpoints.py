"""Fail points: silent by default, and exact when a plan is set."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import ConfigurationError
from sdk.service import failpoints
from sdk.service.failpoints import FailpointReached, Failpoints

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from sdk.service import failpoints
for name in ("a.one", "b.two", "a.three"):
    failpoints.reach(name)
    print(name, flush=True)
"""


def run(**environ: str) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.split(), done.stderr


def test_nothing_happens_without_a_plan() -> None:
    assert failpoints.active is False
    assert run() == (0, ["a.one", "b.two", "a.three"], "")


def test_record_numbers_what_is_reached(tmp_path: Path) -> None:
    record = tmp_path / "record"
    assert run(SDK_FAILPOINTS=f"record:{record}")[0] == 0
    assert record.read_text() == "1 a.one\n2 b.two\n3 a.three\n"


def test_a_filter_limits_what_counts(tmp_path: Path) -> None:
    record = tmp_path / "record"
    run(SDK_FAILPOINTS=f"record:{record}", SDK_FAILPOINTS_FILTER="^a")
    assert record.read_text() == "1 a.one\n2 a.three\n"
    assert run(SDK_FAILPOINTS="kill:2", SDK_FAILPOINTS_FILTER="^a")[:2] == (-9, ["a.one", "b.two"])


@pytest.mark.parametrize(("point", "printed"), [(1, []), (2, ["a.one"]), (3, ["a.one", "b.two"])])
def test_kill_stops_the_process_at_once(point: int, printed: list[str]) -> None:
    assert run(SDK_FAILPOINTS=f"kill:{point}")[:2] == (-9, printed)


def test_raise_says_where() -> None:
    plan = Failpoints("raise:2")
    plan.reach("one")
    with pytest.raises(FailpointReached, match="fail point 2 reached: two"):
        plan.reach("two")
    plan.reach("three")


@pytest.mark.parametrize("plan", ["", "record", "record:", "kill:x", "kill:-1", "explode:1"])
def test_a_plan_that_means_nothing_is_refused(plan: str) -> None:
    with pytest.raises(ConfigurationError, match="write record:<file>, kill:<n> or raise:<n>"):
        Failpoints(plan)
    with pytest.raises(ConfigurationError, match="regular expression"):
        Failpoints("kill:1", "(")
