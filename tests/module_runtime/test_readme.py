"""The programs in the README run as they stand."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from support.commands import SDK

README = Path(__file__).parents[2] / "packages/sdk-module-runtime/README.md"


def program_with(text: str) -> str:
    found = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (program,) = [each for each in found if text in each]
    return str(program)


def test_the_readmes_program_redacts() -> None:
    program = program_with("register_secret(")
    program += "import logging\nlogging.error('it was correct horse battery staple')\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert '"event": "it was [redacted]"' in ended.stderr


def test_the_readmes_program_caches(tmp_path: Path) -> None:
    program = program_with("open_cache(")
    for visits in (1, 2):
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
        )
        assert ended.stdout == f"b'Ada' {visits}\nTrue\n"


def test_the_readmes_module_runs_in_its_stack_and_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text(program_with("@module("))
    (stack,) = [
        each for each in re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL) if '"notes.db"' in each
    ]
    (tmp_path / "stack.toml").write_text(stack.replace('"python"', json.dumps(sys.executable)))
    for arguments, given in ((["init"], None), (["set", "NOTES_KEY"], "open sesame")):
        command = [str(SDK), "runtime", "secrets", *arguments]
        subprocess.run(command, cwd=tmp_path, input=given, capture_output=True, text=True, check=True, timeout=60)
    with subprocess.Popen([str(SDK), "runtime", "up"], cwd=tmp_path, stderr=-1, text=True) as up:
        uses(up, r'"gateway_listening".*?"url": "([^"]+)"|"url": "([^"]+)".*"gateway_listening"', until='"ready"')
    assert (tmp_path / "notes.db").exists()
    (tmp_path / "alone").mkdir()
    environ = {**os.environ, "NOTES_KEY": "open sesame"}
    command = [sys.executable, "../notes.py", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path / "alone", stderr=-1, text=True, env=environ) as alone:
        uses(alone, r'"address": "([^"]+)"', until="module_serves", answers=500)
    assert (tmp_path / "alone" / "main").exists()


def uses(process: subprocess.Popen[str], place: str, *, until: str, answers: int = 200) -> None:
    """Wait until it serves, use it, and end it."""
    try:
        assert process.stderr is not None
        url, line = None, ""
        while url is None or until not in line:
            line = process.stderr.readline()
            assert line, "it has ended"
            found = re.search(place, line)
            if found:
                url = next(each for each in found.groups() if each)
        url = url if url.startswith("http") else f"http://{url}"
        assert status(f"{url}/notes", b"tea", "wrong") == 403
        assert status(f"{url}/notes", b"green tea", "open sesame") == 201
        assert status(f"{url}/count/tea") == answers
        assert status(f"{url}/health") == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()


def status(url: str, body: bytes | None = None, key: str = "") -> int:
    try:
        with urlopen(Request(url, body, {"X-Key": key}), timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_the_readmes_tables_are_made_and_compared(tmp_path: Path) -> None:
    (tables,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "notes.json").write_text(tables)
    lines = [line.partition("#")[0].split() for line in README.read_text().splitlines() if "sdk runtime models" in line]
    commands = [each for each in lines if each[:3] == ["sdk", "runtime", "models"] and len(each) > 4]
    assert [each[3] for each in commands] == ["validate", "generate", "apply", "diff", "sync"]
    for each in commands:
        ended = subprocess.run([SDK, *each[1:]], capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, ""), each
