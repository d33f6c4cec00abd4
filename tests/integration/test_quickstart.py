"""The quickstart as a user starts it: it ends, it says how it went, and nothing of it is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.data.database.urls import url_of
from support.commands import clean_environment
from support.module_databases import module_database

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 180
STORY_BEGINS = "Two wallets, one payment"

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are counted in /proc")


class Quickstart:
    """A running one, and every process that descends from it, whoever their parents are now.

    Modules have a clean environment, but where temporary files go they are told.
    """

    def __init__(self, folder: Path, arguments: tuple[str, ...] = ()) -> None:
        self._mark = f"TMPDIR={folder}".encode()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sdk.devnet.quickstart", *arguments],
            env=clean_environment(TMPDIR=str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_the_story_begins(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if STORY_BEGINS in line:
                return
        pytest.fail(f"it ended before: {self.process.communicate()}")

    def processes(self) -> dict[int, str]:
        found = {}
        for each in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark in (each / "environ").read_bytes().split(b"\0"):
                    found[int(each.name)] = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended meanwhile, or is somebody else's
                continue
        return found

    def child(self, words: str) -> int:
        (pid,) = [pid for pid, command in self.processes().items() if words in command]
        return pid

    def left(self, seconds: float) -> dict[int, str]:
        """What still runs after at most ``seconds``."""
        end = time.monotonic() + seconds
        while (found := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        return found


@contextmanager
def quickstart(folder: Path, *arguments: str) -> Iterator[Quickstart]:
    started = Quickstart(folder, arguments)
    try:
        yield started
    finally:
        for pid in started.processes():
            os.kill(pid, signal.SIGKILL)
        started.process.communicate()


@pytest.fixture(params=["direct", "proxied sqlite", "proxied postgres"])
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """How the modules reach their databases, as arguments."""
    access, _, kind = request.param.partition(" ")
    if kind == "postgres":
        with module_database(kind, tmp_path_factory.mktemp("unused")) as config:
            yield ["--proxied", "--database", url_of(config, config.password)]
    else:
        yield ["--proxied"] if access == "proxied" else []


def test_it_does_the_main_job_and_leaves_nothing(tmp_path: Path, databases: list[str]) -> None:
    with quickstart(tmp_path, *databases) as started:
        out, err = started.process.communicate(timeout=PATIENCE)
        assert started.process.returncode == 0, out + err
        assert err == ""
        assert "Every step was checked." in out
        assert started.left(0) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_devnet_that_dies_midway_is_one_clear_line(tmp_path: Path) -> None:
    with quickstart(tmp_path) as started:
        started.until_the_story_begins()
        os.kill(started.child("system.modules.devnet"), signal.SIGKILL)
        out, err = started.process.communicate(timeout=PATIENCE)
        assert started.process.returncode == 1, out + err
        assert "Traceback" not in out + err
        assert err == ""
        (complaint,) = [line for line in out.splitlines() if line.startswith("failed: ")]
        assert "devnet" in complaint
        assert started.left(0) == {}
    (folder,) = tmp_path.glob("sdk-quickstart-*")
    assert f"The logs and databases are in {folder}" in out


def test_nothing_survives_it_when_it_is_killed(tmp_path: Path) -> None:
    with quickstart(tmp_path) as started:
        started.until_the_story_begins()
        assert len(started.processes()) == 5
        started.process.send_signal(signal.SIGKILL)
        started.process.communicate()
        assert started.left(30) == {}
