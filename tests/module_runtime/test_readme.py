"""The program in the README runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "packages/sdk-module-runtime/README.md"


def test_the_readmes_program_redacts() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program += "import logging\nlogging.error('it was correct horse battery staple')\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert '"event": "it was [redacted]"' in ended.stderr
