"""A folder of header files on a real server, which answers oddly where a test wants it."""

from __future__ import annotations

import base64
import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.core.header import work_of_bits
from support.header_rig import raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sdk.core.header import BlockHeader


def index_of(chain: list[BlockHeader], *, name: str = "mock", per_file: int = 100) -> dict[str, Any]:
    files, work = [], 0
    for first in range(0, len(chain), per_file):
        part = chain[first : first + per_file]
        before, work = work, work + sum(work_of_bits(each.bits) for each in part)
        files.append(
            {
                "chain": name,
                "count": len(part),
                "fileHash": base64.b64encode(hashlib.sha256(raw(part)).digest()).decode(),
                "fileName": f"{name}Net_{first // per_file}.headers",
                "firstHeight": first,
                "lastChainWork": f"{work:064x}",
                "lastHash": part[-1].hash(),
                "prevChainWork": f"{before:064x}",
                "prevHash": part[0].previous_hash,
                "sourceUrl": "http://127.0.0.1:9/elsewhere",
            }
        )
    return {"rootFolder": "", "jsonFilename": f"{name}NetBlockHeaders.json", "headersPerFile": per_file, "files": files}


@dataclass
class HeaderCdn:
    """``files`` by name; ``odd`` answers instead, by name. ``asked`` lists name and range of each request."""

    index: dict[str, Any]
    files: dict[str, bytes]
    odd: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    @classmethod
    def of(cls, chain: list[BlockHeader], *, name: str = "mock", per_file: int = 100) -> HeaderCdn:
        index = index_of(chain, name=name, per_file=per_file)
        files = {
            each["fileName"]: raw(chain[each["firstHeight"] : each["firstHeight"] + each["count"]])
            for each in index["files"]
        }
        return cls(index, files)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.asked.append((name, request.headers.get("Range", "")))
        if name in self.odd:
            return await self.odd[name](request)
        if name == self.index["jsonFilename"]:
            return web.json_response(self.index)
        if name not in self.files:
            raise web.HTTPNotFound
        body = self.files[name]
        if not self.ranges or "Range" not in request.headers:
            return web.Response(body=body, content_type="application/octet-stream")
        wanted = request.http_range
        start, stop = wanted.start or 0, min(wanted.stop or len(body), len(body))
        if start >= len(body):
            raise web.HTTPRequestRangeNotSatisfiable
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
        kind = "application/octet-stream"
        return web.Response(status=206, body=body[start:stop], headers=headers, content_type=kind)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}/headers"
            yield self.url
        finally:
            await runner.cleanup()
