"""Headers: checked in files, and stored."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from _chaintracks_load import load

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.consensus.compact import target_of, work_of
from sdk.chaintracks.consensus.fields import header_hash, pack_header, split
from sdk.chaintracks.store.flat import hashes_of
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import file_store
from sdk.chaintracks.verify import verify_file
from sdk.core.chain import MAIN, MOCK
from sdk.service.database import Database
from sdk.service.migrations import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
VECTORS = Path(os.environ.get("SDK_VECTORS", ROOT.parent / "shared" / "vectors"))
REAL = VECTORS / "headers" / "main_900000_907999.headers"
COUNT = 1_000_000


async def run(report: Callable[..., None]) -> None:
    if REAL.exists():
        report("verify 8,000 mainnet headers, processor time", _verify(), "headers/s")
    report("double SHA-256 of headers alone, processor time", _hashing(), "headers/s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "all.headers").write_bytes(mined(COUNT, spacing=601))
        found = _stored(folder)
        report("check and store 1,000,000 headers from files", found["stored"], "headers/s", limit=250_000)
        report("the same, processor time of all processes", found["processor"], "headers/s", limit=250_000)
        report("memory meanwhile, all processes", found["memory"], "MB", limit=300)
        report("cold start on 1,000,000 headers", found["cold"], "s", limit=2)
        found |= _from_peer(folder)
        report("fetch 100,000 headers from a node and store them", found["synced"], "headers/s", limit=50_000)
        report("lookup by height, 1,000,000 headers, processor time", found["height"], "lookups/s", limit=200_000)
        report("lookup by hash, 1,000,000 headers, processor time", found["hash"], "lookups/s", limit=200_000)
    report("insert live headers durably with events, one at a time", await _insert(1), "headers/s", limit=300)
    report("insert live headers durably with events, 64 waiting", await _insert(64), "headers/s", limit=1_000)
    load(report)


def _verify() -> float:
    """The best of several runs, each without what the last one remembered of targets."""
    best = 0.0
    for _ in range(9):
        target_of.cache_clear()
        work_of.cache_clear()
        found = verify_file(Rules.of(MAIN), REAL, 900_000, now=int(time.time()), clock=time.process_time)
        best = max(best, found.count / found.seconds)
    return best


def _hashing() -> float:
    raw = mined(50_000)
    started = time.process_time()
    hashes_of(raw)
    return 50_000 / (time.process_time() - started)


def _stored(folder: Path) -> dict[str, float]:
    script = ROOT / "benchmarks" / "_headers_stored.py"
    done = subprocess.run(
        [sys.executable, script, folder / "all.headers", folder], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _from_peer(folder: Path) -> dict[str, float]:
    file, place = folder / "some.headers", folder / "peer"
    with (folder / "all.headers").open("rb") as whole:
        file.write_bytes(whole.read(100_000 * 80))
    place.mkdir()
    script = ROOT / "benchmarks" / "_headers_from_peer.py"
    done = subprocess.run([sys.executable, script, file, place], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return {"synced": found["synced"]}


async def _insert(waiting: int) -> float:
    """Each header is a call of its own that returns when it is durable and its event has been told."""
    headers = split(mined(3_001))[1:]
    with tempfile.TemporaryDirectory() as folder:
        async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
            await upgrade(database, [MIGRATIONS])
            store = file_store(database, Path(folder) / "headers", "mock")
            chain = await HeaderChain.open("mock", store, clock=lambda: datetime(2036, 1, 1, tzinfo=UTC))
            started = time.perf_counter()
            for at in range(0, len(headers), waiting):
                await asyncio.gather(*(chain.extend(each) for each in headers[at : at + waiting]))
            elapsed = time.perf_counter() - started
            if chain.tip.height != len(headers) or not chain.last_event:
                raise AssertionError("not every header was stored")
            await chain.close()
            return len(headers) / elapsed


def mined(count: int, *, spacing: int = 600) -> bytes:
    """A chain from genesis on at regtest's difficulty."""
    last = MOCK.genesis.to_bytes()
    parts, moment, before = [last], MOCK.genesis.time, header_hash(last)
    for number in range(1, count):
        moment, nonce = moment + spacing, 0
        while True:
            raw = pack_header(0x20000000, before, number.to_bytes(32, "little"), moment, 0x207FFFFF, nonce)
            found = header_hash(raw)
            if found[31] < 0x7F:
                break
            nonce += 1
        parts.append(raw)
        before = found
    return b"".join(parts)
