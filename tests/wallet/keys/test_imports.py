"""A key, a script and a verification cost no web framework, no database and no models to import."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["sdk.wallet", "sdk.wallet.keys", "sdk.wallet.script", "sdk.wallet.script.spv"])
def test_what_is_not_loaded(module: str) -> None:
    heavy = ("pydantic", "sqlalchemy", "aiohttp")
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lazy_names() -> None:
    import sdk.wallet.keys

    assert sdk.wallet.keys.ProtoWallet.__name__ == "ProtoWallet"
    assert sdk.wallet.keys.PrivilegedKeyManager.__name__ == "PrivilegedKeyManager"
    with pytest.raises(AttributeError, match="nothing"):
        sdk.wallet.keys.nothing  # noqa: B018
