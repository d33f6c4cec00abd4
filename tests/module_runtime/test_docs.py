"""Programs, commands and stack files in docs/ do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sdk.module_runtime.orchestrator.stack import parse_stack

DOCS = Path(__file__).parents[2] / "docs"
README = Path(__file__).parents[2] / "packages/sdk-module-runtime/README.md"
PAGES = sorted(DOCS.glob("module-runtime*.md"))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Each block of ``language`` with the ``text`` block that stands right after it, or nothing."""
    text, found = page.read_text(), []
    for match in _BLOCK.finditer(text):
        if match[1] == language:
            after = _BLOCK.match(text, match.end() + 1)
            found.append((match[2], after[2] if after is not None and after[1] == "text" else ""))
    return found


PROGRAMS = [(page.name, *each) for page in PAGES for each in blocks(page, "python")]
PROGRAMS += [(README.name, *each) for each in blocks(README, "python") if "jwt_middleware" in each[0]]
COMMANDS = [(page.name, each) for page in PAGES for each, _ in blocks(page, "console")]
STACKS = [(page.name, each) for page in (*PAGES, README) for each, _ in blocks(page, "toml") if "command = " in each]


def test_there_is_something_to_run() -> None:
    assert len(PROGRAMS) >= 4
    assert len(COMMANDS) >= 3
    assert len(STACKS) >= 2


@pytest.mark.parametrize(("page", "program", "expected"), PROGRAMS)
def test_a_program_prints_what_the_page_says(tmp_path: Path, page: str, program: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, ""), page


@pytest.mark.parametrize(("page", "session"), COMMANDS)
def test_commands_succeed_one_after_the_other(tmp_path: Path, page: str, session: str) -> None:
    lines = session.splitlines()
    assert all(line.startswith("$ ") for line in lines), page
    script = "set -euo pipefail\n" + "\n".join(line[2:] for line in lines)
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{page}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(("page", "text"), STACKS)
def test_a_stack_file_is_one(page: str, text: str) -> None:
    assert parse_stack(tomllib.loads(text), page).modules
