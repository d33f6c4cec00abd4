"""The program that the README shows, run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from support.commands import clean_environment
from support.requirements import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_program_of_the_readme_pays_the_baker(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"paid in [0-9a-f]{64}, and 98499 satoshis are left\n", done.stdout)
    assert done.stderr == ""
