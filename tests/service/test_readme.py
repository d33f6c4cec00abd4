"""What the README shows is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from support.requirements import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_every_python_block_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "packages" / "sdk-service" / "README.md").read_text()
    names: dict[str, Any] = {"__name__": "readme"}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec", dont_inherit=True), names)
    await names["main"]()
    await names["service"]()
    assert (tmp_path / "coins.db").exists()
