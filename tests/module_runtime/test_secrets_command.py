"""``sdk runtime secrets`` on a real database and key file."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sdk.core.errors import SdkError
from sdk.module_runtime.cli import command
from sdk.service.cli.db import command as db

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    environment = {
        "SDK_DATABASE_URL": f"sqlite:///{tmp_path}/runtime.db",
        "SDK_RUNTIME_SECRET_KEY": f"file:{tmp_path}/key",
    }
    runner = CliRunner(env=environment)
    assert runner.invoke(db, ["upgrade", "--component", "module-runtime"]).exit_code == 0

    def invoke(*arguments: str, given: str = "") -> Result:
        return runner.invoke(command, ["secrets", *arguments], input=given)

    assert invoke("init").exit_code == 0
    return invoke


def test_a_secret_is_set_listed_rotated_read_and_deleted_and_shown_only_when_asked_for(
    run: Callable[..., Result],
) -> None:
    said = [run("set", "DB_PASSWORD", given=f"hunter2-{i}\n") for i in range(2)]
    said += [run("list"), run("audit"), run("holders", "DB_PASSWORD"), run("rekey")]
    assert [each.exit_code for each in said] == [0] * 6
    assert not any("hunter2" in each.output for each in said)
    assert re.search(r"^DB_PASSWORD +version 2", said[2].output, re.MULTILINE)
    assert said[5].output == "encrypted 1 anew\n"
    assert run("get", "DB_PASSWORD").stdout == "hunter2-1\n"
    assert run("delete", "DB_PASSWORD", "NOT_THERE").exit_code == 0
    assert run("list").output == ""
    gone = run("get", "DB_PASSWORD")
    assert isinstance(gone.exception, SdkError)
    actions = [line.split()[2] for line in run("audit").output.splitlines()]
    assert actions == ["get", "delete", "delete", "get", "rekey", "rotate", "set"]


def test_a_value_with_newlines_loses_only_the_last_one_and_one_that_is_too_long_is_refused(
    run: Callable[..., Result],
) -> None:
    assert run("set", "PEM", given="line 1\nline 2\n\n").exit_code == 0
    assert run("get", "PEM").stdout == "line 1\nline 2\n\n"
    refused = run("set", "LONG", given="x" * 70_000)
    assert isinstance(refused.exception, SdkError)
    assert "xxxx" not in str(refused.exception)


def test_the_store_of_a_stack_is_made_for_its_first_secret_though_its_key_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.toml").write_text(
        '[secrets]\nkey = "file:key"\n[modules.a]\nkind = "module"\ncommand = ["true"]\n'
    )
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    for given in ("init", "set A"):
        assert runner.invoke(command, ["secrets", *given.split()], input="hunter2").exit_code == 0
    shutil.rmtree(tmp_path / ".runtime")
    assert runner.invoke(command, ["secrets", "set", "B"], input="hunter2").exit_code == 0
    assert "B " in runner.invoke(command, ["secrets", "list"]).output


def test_a_key_that_is_there_is_never_replaced(run: Callable[..., Result]) -> None:
    assert isinstance(run("init").exception, SdkError)
