"""A header service in a process of its own, for ``_header_clients``. ``python _headers_served.py FOLDER COUNT``.

Prints a JSON object a line: the address, then an answer to each line it is sent: ``mine`` adds a block and answers the
time on the system's monotonic clock before that; ``spent`` answers the processor time used so far. Ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from chaintracks import mined
from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.consensus.fields import HEADER, header_hash, header_time, pack_header
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer, ServerOptions
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import file_store
from sdk.service.database import Database
from sdk.service.http_app import Limits
from sdk.service.logging import configure_logging
from sdk.service.migrations import upgrade

LIMITS = Limits(rate=0, in_flight=1_000, in_flight_per_client=1_000)
OPTIONS = ServerOptions(subscribers=10_000, subscribers_per_client=10_000, keepalive=60)


def clock() -> datetime:
    return datetime(2056, 1, 1, tzinfo=UTC)


def block_after(raw: bytes) -> bytes:
    nonce = 0
    while True:
        found = pack_header(0x20000000, header_hash(raw), bytes(32), header_time(raw) + 600, 0x207FFFFF, nonce)
        if header_hash(found)[31] < 0x7F:
            return found
        nonce += 1


async def main(folder: str, count: int) -> None:
    configure_logging()
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    loop = asyncio.get_running_loop()
    async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        await upgrade(database, [MIGRATIONS])
        chain = await HeaderChain.open("mock", file_store(database, Path(folder) / "headers", "mock"), clock=clock)
        await chain.extend(mined(count)[HEADER:])
        server = ChaintracksServer(Chaintracks(chain, [], clock=clock), limits=LIMITS, options=OPTIONS)
        say(url=await server.start())
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line == "mine\n":
                started = time.monotonic()
                await chain.extend(block_after(chain.tip.raw))
                say(at=started, stored=time.monotonic() - started)
            else:
                say(spent=time.process_time())
        await server.stop()


def say(**members: object) -> None:
    print(json.dumps(members), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
