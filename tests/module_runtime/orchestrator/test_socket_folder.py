"""Folders for sockets outlive a killed orchestrator no longer than until the next one starts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.socket_folder import SocketFolder

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from sdk.module_runtime.socket_folder import SocketFolder
folder = SocketFolder()
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_lives_as_long_as_who_holds_it(own_place: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        theirs = process.stdout.readline().strip()
        ours = SocketFolder()
        assert (ours.path.stat().st_mode & 0o777, os.path.isdir(theirs)) == (0o700, True)
        process.kill()
    SocketFolder().close()
    assert not os.path.exists(theirs)
    assert ours.path.is_dir()
    ours.close()
    assert list(own_place.iterdir()) == []


def test_what_is_no_folder_of_this_kind_is_left_alone(own_place: Path) -> None:
    (own_place / "sdk-sockets-file").write_text("x")
    elsewhere = own_place / "elsewhere"
    elsewhere.mkdir()
    (own_place / "sdk-sockets-link").symlink_to(elsewhere)
    SocketFolder().close()
    assert sorted(each.name for each in own_place.iterdir()) == ["elsewhere", "sdk-sockets-file", "sdk-sockets-link"]
