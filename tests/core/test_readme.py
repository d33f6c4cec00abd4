from __future__ import annotations

import re

from support.requirements import ROOT


def test_the_example_in_the_readme_runs() -> None:
    text = (ROOT / "packages" / "sdk-core" / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["beef"]
