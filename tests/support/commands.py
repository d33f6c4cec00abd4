"""The ``sdk`` command as a real process, and faults to put in its way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SDK = Path(sys.executable).with_name("sdk")
PATIENCE = 60
_LOG_LINE = re.compile(r'^\{"event": .*\}$')
_NO_OVERRIDE = "-dac_override,-dac_read_search"


@dataclass(frozen=True)
class Ended:
    """How a command ended. ``complaint`` is its stderr without the lines of the structured log."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        return "\n".join(line for line in self.err.splitlines() if not _LOG_LINE.match(line))


def clean_environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SDK_", "COVERAGE_"))}
    return {**inherited, "COLUMNS": "200", **more}


def sdk(*arguments: str, environ: Mapping[str, str], file_limit: int | None = None) -> Ended:
    """Run to the end. It minds file permissions even if the tests run as root; no file grows over ``file_limit``."""
    process = subprocess.Popen(
        [*wrappers(file_limit), str(SDK), *arguments],
        env=clean_environment(**environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"`sdk {' '.join(arguments)}` still runs after {PATIENCE} s; it said: {out}{err}")
    return Ended(process.returncode, out, err)


class Warm:
    """Runs commands without the second that importing takes; see ``support.command_runner``. For one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [*wrappers(None), sys.executable, "-m", "support.command_runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT / "tests",
            env=clean_environment(),
        )
        self._says("ready")

    def sdk(self, *arguments: str, environ: Mapping[str, str]) -> Ended:
        """As ``sdk``, without a limit on files, for its output is one."""
        out, err = self._folder / "out", self._folder / "err"
        given = {
            "arguments": arguments,
            "environ": clean_environment(**environ),
            "out": str(out),
            "err": str(err),
        }
        assert self._process.stdin is not None
        print(json.dumps(given), file=self._process.stdin, flush=True)
        code = int(self._says())
        return Ended(code, out.read_text(), err.read_text())

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE)

    def _says(self, wanted: str | None = None) -> str:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == wanted or (wanted is None and said), "the process that runs commands has ended"
        return said


def wrappers(file_limit: int | None) -> list[str]:
    found = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("as root, file permissions are minded only with setpriv (util-linux)")
        found += [setpriv, f"--inh-caps={_NO_OVERRIDE}", f"--bounding-set={_NO_OVERRIDE}"]
    if file_limit is not None:
        prlimit = shutil.which("prlimit")
        if prlimit is None:
            pytest.skip("a limit on files needs prlimit (util-linux)")
        found += [prlimit, f"--fsize={file_limit}"]
    return found


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, but for what SQLite keeps beside a database; ``None`` is a directory."""
    return {
        str(each.relative_to(folder)): None if each.is_dir() else each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if not each.name.endswith(("-wal", "-shm"))
    }


_HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process writes, and does not end. (In this one, reading the file would end the lock.)"""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.kill()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def closed_port() -> int:
    """Nobody listens there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def permissions(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)
