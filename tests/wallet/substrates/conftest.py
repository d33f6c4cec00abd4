from __future__ import annotations

import pytest

from support.wire_wallet import ScriptedWallet


@pytest.fixture
def scripted() -> ScriptedWallet:
    return ScriptedWallet()
