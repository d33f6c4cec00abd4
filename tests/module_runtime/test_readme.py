"""The programs in the README run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

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
