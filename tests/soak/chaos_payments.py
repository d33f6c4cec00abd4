"""The whole payment system under ``kill -9``: devnet, header service, monitors and two wallets that pay one another.

Each round lasts ten minutes at most and begins anew; afterwards every satoshi and row is checked against the chain. The
second wallet is on PostgreSQL where there is one.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.wallet.keys import PrivateKey
from support.chaos import Chaos, Owner
from support.databases import empty_database
from support.requirements import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND, SHORTEST = 600.0, 60.0
AFTERWARDS = 0.1
"""Of the time is left for the checks."""
PAYMENTS = 10
"""A round goes on until so many were begun, for without any it would show nothing."""


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` on the monotonic clock, one round at least; raises ``AssertionError`` or ``ProgramEnded``."""
    left = max(deadline - time.monotonic(), SHORTEST)
    while left >= SHORTEST:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="sdk-chaos-"))
            say(f"logs and databases are in {folder}")
            dialect = "postgresql" if (SERVICES / "postgresql.url").exists() else "sqlite"
            url, schema = stack.enter_context(empty_database(dialect, folder))
            owners = [
                Owner("alice", PrivateKey.from_int(7), f"sqlite:///{folder}/alice.sqlite", None, folder),
                Owner("bob", PrivateKey.from_int(8), url, schema, folder),
            ]
            chaos = Chaos(folder, owners, say, between=1.5, pace=0.3)
            say(str(asyncio.run(chaos.run(min(ROUND, left) * (1 - AFTERWARDS), payments=PAYMENTS))))
        left = deadline - time.monotonic()
