"""Where modules' lines are kept: in memory whatever the disk does, in files for this user alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sdk.module_runtime.orchestrator import log_book
from sdk.module_runtime.orchestrator.log_book import LogBook

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_files_are_for_this_user_alone_after_they_were_turned_over_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_book, "FILE_SIZE", 500)
    book = LogBook(tmp_path / "logs")
    for number in range(20):
        book.add("m", "info", f"line {number}")
    book.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert [each.name for each in files] == ["m.log", "m.log.1", "m.log.2"]
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    assert json.loads(files[0].read_text().splitlines()[-1])["line"] == "line 19"


def test_a_file_that_cannot_be_written_is_told_once_and_costs_the_module_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    book, in_the_way = LogBook(tmp_path / "logs"), tmp_path / "logs" / "m.log"
    in_the_way.symlink_to("/dev/full")
    for number in range(3):
        book.add("m", "info", f"line {number}")
    in_the_way.unlink()
    book.close()
    book.add("m", "info", "line 3")
    book.close()
    failed, again = (record for record in caplog.records if record.msg.startswith("module_log"))
    assert failed.msg == "module_log_not_written"
    assert "No space left" in failed.__dict__["reason"]
    assert again.msg == "module_log_written_again"
    assert [each.text for each in book.last("m", 10)] == ["line 0", "line 1", "line 2", "line 3"]
    assert json.loads(in_the_way.read_text())["line"] == "line 3"
    assert capfd.readouterr().err == ""
