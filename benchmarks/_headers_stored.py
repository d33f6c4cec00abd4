"""Checks and stores a file of headers in a process of its own, so that its memory can be read; prints one JSON object.

``python _headers_stored.py FILE FOLDER``. The rules are mainnet's (retarget, emergency adjustment, DAA) at a limit that
is easy to mine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import file_store
from sdk.core.chain import MAIN, MOCK
from sdk.service.database import Database
from sdk.service.migrations import upgrade

PART = 100_000
LOOKUPS = 100_000


def rules() -> Rules:
    easy = Rules.of(MOCK)
    return replace(easy, no_retargeting=False, allow_min_difficulty=False, daa_height=Rules.of(MAIN).daa_height)


async def opened(database: Database, folder: Path) -> HeaderChain:
    store = file_store(database, folder / "headers", "mock")
    return await HeaderChain.open(rules(), store, clock=clock)


def clock() -> datetime:
    return datetime(2056, 1, 1, tzinfo=UTC)


async def main(file: Path, folder: Path) -> dict[str, float]:
    found = {}
    async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        await upgrade(database, [MIGRATIONS])
        chain = await opened(database, folder)
        started, busy = time.perf_counter(), time.process_time()
        with file.open("rb") as source:
            while part := source.read(PART * 80):
                await chain.extend(part)
        found["stored"] = chain.tip.height / (time.perf_counter() - started)
        found["processor"] = chain.tip.height / (time.process_time() - busy + sum(map(spent, chain.checker.processes)))
        found["memory"] = sum(peak(each) for each in ("self", *map(str, chain.checker.processes)))
        await chain.close()
        started = time.perf_counter()
        chain = await opened(database, folder)
        found["cold"] = time.perf_counter() - started
        found["height"] = await by_height(chain)
        found["hash"] = await by_hash(chain)
        await chain.close()
    return found


async def by_height(chain: HeaderChain) -> float:
    random = Random(1)
    heights = [random.randrange(chain.tip.height) for _ in range(LOOKUPS)]
    started = time.process_time()
    for each in heights:
        await chain.header_at(each)
    return LOOKUPS / (time.process_time() - started)


async def by_hash(chain: HeaderChain) -> float:
    random = Random(2)
    hashes = [await chain.hash_at(random.randrange(chain.tip.height)) or b"" for _ in range(LOOKUPS)]
    started = time.process_time()
    for each in hashes:
        if await chain.find(each) is None:
            raise AssertionError("a header of the chain is not found by its hash")
    return LOOKUPS / (time.process_time() - started)


def spent(process: int) -> float:
    """Seconds of processor time of a process since it began."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(process: str) -> float:
    """The most memory it ever held, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))))
