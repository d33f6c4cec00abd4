"""A few seconds of what ``scripts/soak chaos_payments`` does for hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdk.wallet.keys import PrivateKey
from support.chaos import GIFT, GIFTS, Chaos, Owner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(600)
async def test_no_satoshi_is_lost_while_every_process_is_killed(tmp_path: Path) -> None:
    owners = [
        Owner(name, PrivateKey.from_int(number), f"sqlite:///{tmp_path}/{name}.sqlite", None, tmp_path)
        for number, name in enumerate(("alice", "bob"), 7)
    ]
    chaos = Chaos(tmp_path, owners, print, between=2, pace=0.1)
    tally = await chaos.run(6, payments=4)
    assert sum(tally.kills.values()) > 0
    assert tally.mined > 0
    assert sum(tally.balances.values()) + tally.fees == 2 * GIFTS * GIFT
