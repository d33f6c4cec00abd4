"""The folder of header files that the reference's CDN is: an index and files of 100,000 headers (spec §6.1).

Nothing is exported: the files are read from the chain when they are asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash
from sdk.chaintracks.server.answers import FRESH, HOUR, SETTLED, is_known
from sdk.chaintracks.server.ranges import bytes_answer
from sdk.chaintracks.store.index_entry import index_entry

if TYPE_CHECKING:
    from sdk.chaintracks.chain import HeaderChain

PER_FILE: Final = 100_000
FOLDER: Final = "/blockheaders"
_AT_ONCE: Final = 4
"""Files that are held in memory, 8 MB each, at a time."""


class HeaderFolder:
    """``GET /blockheaders/<chain>NetBlockHeaders.json`` and ``/blockheaders/<chain>Net_<n>.headers``."""

    def __init__(self, chain: HeaderChain, *, per_file: int = PER_FILE) -> None:
        self._chain, self._per_file = chain, per_file
        self._name = f"{chain.rules.chain}Net"
        self._described: dict[int, dict[str, Any]] = {}  # by number; valid as long as the last hash is
        self._places = asyncio.Semaphore(_AT_ONCE)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get(f"{FOLDER}/{self._name}BlockHeaders.json", self.index),
            web.get(f"{FOLDER}/{self._name}_{{number:[0-9]{{1,5}}}}.headers", self.file),
        ]

    async def index(self, request: web.Request) -> web.Response:
        etag = f'"{display(self._chain.tip.hash)[-32:]}"'
        headers = {"Cache-Control": FRESH, "ETag": etag}
        if is_known(request, etag):
            return web.Response(status=304, headers=headers)
        root = f"{request.scheme}://{request.host}{FOLDER}"
        files = []
        for number in range(self._chain.tip.height // self._per_file + 1):
            async with self._places:
                files.append({**await self._describe(number), "sourceUrl": root})
        document = {
            "rootFolder": root,
            "jsonFilename": f"{self._name}BlockHeaders.json",
            "headersPerFile": self._per_file,
            "files": files,
        }
        return web.Response(body=orjson.dumps(document), content_type="application/json", headers=headers)

    async def file(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        first = number * self._per_file
        async with self._places:
            raw = await self._chain.headers(first, self._per_file)
            if not raw:
                raise web.HTTPNotFound(text=f"there are no headers from height {first} on")
            settled = first + self._per_file + SETTLED < self._chain.tip.height
            return bytes_answer(request, raw, f'"{display(header_hash(raw[-HEADER:]))}"', HOUR if settled else FRESH)

    async def _describe(self, number: int) -> dict[str, Any]:
        """A full file is read and hashed once, unless a reorganisation reaches into it."""
        first = number * self._per_file
        last_hash = await self._chain.hash_at(min(first + self._per_file - 1, self._chain.tip.height))
        known = self._described.get(number)
        if known is not None and last_hash is not None and known["lastHash"] == display(last_hash):
            return known
        raw = await self._chain.headers(first, self._per_file)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(raw).digest())
        work = self._work_at(first - 1) if first else 0, self._work_at(first + len(raw) // HEADER - 1)
        self._described[number] = found = index_entry(self._chain.rules.chain, number, raw, digest, first, work)
        return found

    def _work_at(self, height: int) -> int:
        node = self._chain.tree.at(height)
        return node.work if node is not None else self._chain.store.bulk.work_at(height)
