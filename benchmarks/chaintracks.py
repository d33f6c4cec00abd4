"""Headers: checked in files, and stored."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.consensus.compact import target_of, work_of
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import sql_store
from sdk.chaintracks.verify import verify_file
from sdk.core.chain import MAIN, MOCK
from sdk.core.header import BlockHeader
from sdk.service.database import Database
from sdk.service.migrations import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
VECTORS = Path(os.environ.get("SDK_VECTORS", ROOT.parent / "shared" / "vectors"))
REAL = VECTORS / "headers" / "main_900000_907999.headers"
VERIFY_LIMIT = 250_000


async def run(report: Callable[..., None]) -> None:
    if REAL.exists():
        report("verify 8,000 mainnet headers", _verify(), "headers/s", limit=VERIFY_LIMIT)
    report("check and store, batches of 2,000", await _store(), "headers/s")


def _verify() -> float:
    """The best of several runs, each without what the last one remembered of targets."""
    best = 0.0
    for _ in range(9):
        target_of.cache_clear()
        work_of.cache_clear()
        found = verify_file(Rules.of(MAIN), REAL, 900_000, now=int(time.time()))
        best = max(best, found.count / found.seconds)
    return best


async def _store() -> float:
    raw = _mined(10_000)
    with tempfile.TemporaryDirectory() as folder:
        async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
            await upgrade(database, [MIGRATIONS])
            chain = await HeaderChain.open("mock", sql_store(database), clock=lambda: datetime(2036, 1, 1, tzinfo=UTC))
            started = time.perf_counter()
            for at in range(0, len(raw), 2000 * 80):
                await chain.extend(raw[at : at + 2000 * 80])
            return chain.tip.height / (time.perf_counter() - started)


def _mined(count: int) -> bytes:
    """A chain at regtest's difficulty."""
    headers, last = [], MOCK.genesis
    for number in range(count):
        nonce = 0
        while True:
            header = BlockHeader(4, last.hash(), f"{number:064x}", last.time + 600, last.bits, nonce)
            if header.meets_target():
                break
            nonce += 1
        headers.append(header.to_bytes())
        last = header
    return b"".join(headers)
