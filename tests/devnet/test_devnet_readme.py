"""What the README shows is run."""

from __future__ import annotations

import re
from typing import Any

from sdk.devnet.admin import AdminRoutes
from sdk.devnet.devnet import Devnet
from sdk.devnet.settings import DevnetSettings
from support.requirements import ROOT

TEXT = (ROOT / "packages" / "sdk-devnet" / "README.md").read_text()


async def test_every_python_block_of_the_readme_runs() -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(block, "README.md", "exec", dont_inherit=True), names)
    await names["main"]()
    assert names["devnet"].merkle_path(names["funding"].txid) is not None, "mined again while it was served"


def test_every_setting_and_admin_endpoint_is_named() -> None:
    for name in DevnetSettings.model_fields:
        assert f"`{name}`" in TEXT
    for route in AdminRoutes(Devnet()).table():
        assert f"`{route.method} {route.path}" in TEXT
