"""Runs the wallet's background work in a child process that may be killed. ``python -m support.crash_runner``.

Reads one JSON object a line: ``plan`` for the fail points (or null) and what the work needs; here ``database``, ``url``
of the network and ``seconds`` since the start. Forks, so that the imports are paid once; answers with the exit status.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sdk.service import failpoints
from sdk.service.database import Database, postgresql, sqlite
from sdk.wallet.monitoring import WalletBackend
from support.http_network import HttpNetwork
from support.wallet_rows import START

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

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


def child(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], given: dict[str, Any]) -> None:
    if given["plan"] is not None:
        failpoints.reach = failpoints.Failpoints(given["plan"], given.get("pattern")).reach  # type: ignore[misc]
        failpoints.active = True  # type: ignore[misc]
    asyncio.run(work(given))


def main(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(work, json.loads(line))
                status = 0
            except BaseException:  # noqa: BLE001 - the parent is told by the exit status
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main(cycle)
