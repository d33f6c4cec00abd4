"""What the README shows is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.header_rig import HeaderNetwork
from support.requirements import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "packages" / "sdk-chaintracks" / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)\nasyncio\.run.*?```", text, re.DOTALL)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec", dont_inherit=True), names)
    network = HeaderNetwork()
    network.mine(4)
    async with network.served() as source:
        await names["main"](source)  # type: ignore[operator]
    out = capsys.readouterr().out
    assert "4 after 0 removed" in out
    assert f"4 {network.chain[-1].hash()}" in out
