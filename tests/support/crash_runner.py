"""Runs the wallet's background work in a child process that may be killed. ``python -m support.crash_runner``.

Given ``database``, ``url`` of the network and ``seconds`` since the start; see ``support.forked``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sdk.service.database import Database, postgresql, sqlite
from sdk.wallet.monitoring import WalletBackend
from support.forked import main
from support.http_network import HttpNetwork
from support.wallet_rows import START

PRELOADED = (sqlite, postgresql)
"""Otherwise imported when a database is opened: by each child."""


async def cycle(given: dict[str, Any]) -> None:
    """What a monitor would have done in the meantime, once."""
    database, url = given["database"], given["url"]
    now = START + timedelta(seconds=given["seconds"])
    network = HttpNetwork(url)
    try:
        async with await Database.open(database) as opened:
            backend = WalletBackend(opened, network, clock=lambda: now)
            await backend.send_waiting(min_age=timedelta(0), limit=100)
            await network.call("mine")
            tip = await backend.tip()
            await backend.follow_tip(tip)
            await backend.check_for_proofs(up_to_height=tip.height, limit=100)
            await backend.fail_abandoned(older_than=timedelta(minutes=1), limit=100)
    finally:
        await network.close()


if __name__ == "__main__":
    main(cycle)
