"""Processes that an orchestrator left behind are known by their mark, and ended."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from sdk.module_runtime.orchestrator.orphans import end_marked

HANDLES = 1_100
"""More than ``select()`` can name: an orchestrator with a hundred modules holds as many."""


def test_what_bears_the_mark_is_ended_and_nothing_else_by_one_who_holds_many_handles() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < HANDLES + 100:
        pytest.skip(f"this user may open fewer than {HANDLES + 100} files")
    handles = [os.open(os.devnull, os.O_RDONLY) for _ in range(HANDLES)]
    sleeper = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    try:
        with (
            subprocess.Popen(sleeper, env={"TEST_MARK": "mine"}, stdout=subprocess.PIPE) as mine,
            subprocess.Popen(sleeper, env={"TEST_MARK": "mine too"}, stdout=subprocess.PIPE) as other,
        ):
            try:
                for each in (mine, other):
                    assert each.stdout is not None
                    each.stdout.read(1)
                assert end_marked("TEST_MARK", "mine") == 1
                assert mine.wait(5) == -9
                assert other.poll() is None
                assert end_marked("TEST_MARK", "mine") == 0
            finally:
                mine.kill()
                other.kill()
    finally:
        for each_handle in handles:
            os.close(each_handle)
