"""Fetches headers from a node in another process over a socket and stores them; prints one JSON object.

``python _headers_from_peer.py FILE FOLDER`` syncs; with ``serve`` in place of FOLDER it is the node.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from _headers_stored import clock, opened, spent

from sdk.chaintracks.consensus.fields import HEADER, header_hash, split
from sdk.chaintracks.run_follower import RunFollower
from sdk.chaintracks.sources.p2p import PeerSource
from sdk.chaintracks.sources.p2p.messages import (
    FRAME_HEAD,
    MAX_HEADERS,
    PROTOCOL_VERSION,
    FrameHead,
    Version,
    frame,
    headers,
    parse_get_headers,
)
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.core.chain import REGTEST
from sdk.service.database import Database
from sdk.service.migrations import upgrade

MAGIC = REGTEST.magic


async def serve(raw: bytes) -> None:
    places = {header_hash(each): at for at, each in enumerate(split(raw))}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(MAGIC, "version", Version(PROTOCOL_VERSION, 1, 0, 7, "/node/", len(places) - 1).to_bytes()))
        writer.write(frame(MAGIC, "verack"))
        while head := await reader.read(FRAME_HEAD):
            asked = FrameHead.parse(MAGIC, head)
            payload = await reader.readexactly(asked.length)
            if asked.command == "getheaders":
                locator, _ = parse_get_headers(payload)
                start = next((places[each] for each in locator if each in places), 0) + 1
                writer.write(frame(MAGIC, "headers", headers(raw[start * HEADER : (start + MAX_HEADERS) * HEADER])))
                await writer.drain()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def sync(file: Path, folder: Path, count: int) -> None:
    node = await asyncio.create_subprocess_exec(sys.executable, __file__, file, "serve", stdout=asyncio.subprocess.PIPE)
    assert node.stdout is not None
    port = int(await node.stdout.readline())
    async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        await upgrade(database, [MIGRATIONS])
        chain = await opened(database, folder)
        source = PeerSource(REGTEST, [("127.0.0.1", port)])
        follower = RunFollower(chain, source, interval=1, max_backoff=1, clock=time.monotonic, now=clock)
        started, busy = time.perf_counter(), time.process_time()
        await follower.synchronise()
        found = {"synced": chain.tip.height / (time.perf_counter() - started)}
        found["processor"] = chain.tip.height / (
            time.process_time() - busy + sum(map(spent, [*chain.checker.processes, node.pid]))
        )
        if chain.tip.height != count - 1:
            raise AssertionError(f"{chain.tip.height} of {count - 1}")
        await source.close()
        await chain.close()
    node.kill()
    await node.wait()
    print(json.dumps(found))


if __name__ == "__main__":
    content = Path(sys.argv[1])
    if sys.argv[2] == "serve":
        asyncio.run(serve(content.read_bytes()))
    else:
        asyncio.run(sync(content, Path(sys.argv[2]), content.stat().st_size // HEADER))
