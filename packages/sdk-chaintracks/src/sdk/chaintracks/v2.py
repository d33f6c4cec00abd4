"""The read-only calls of the v2 API (spec/wallet-stack.md §6.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from sdk.chaintracks.consensus.fields import display, header_json
from sdk.chaintracks.parameters import MAX_HEADERS, block_hash, number
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from sdk.chaintracks.engine import Chaintracks

SETTLED: Final = 100
"""Blocks above a header from which on an answer about it may be kept."""
_FRESH, _KEPT, _MINUTE = "no-cache", "public, max-age=3600", "public, max-age=60"


class V2:
    """Unlike Go's server, a height of 0 and an empty string are answered as ``value``."""

    def __init__(self, service: Chaintracks) -> None:
        self._chain = service.chain

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/v2/network", self.network),
            web.get("/v2/height", self.height),
            web.get("/v2/tip/hash", self.tip_hash),
            web.get("/v2/tip/header", self.tip_header),
            web.get("/v2/header/height/{height}", self.header_at),
            web.get("/v2/header/hash/{hash}", self.header_for),
            web.get("/v2/headers", self.headers),
        ]

    async def network(self, _: web.Request) -> web.Response:
        return _answer(self._chain.rules.chain)

    async def height(self, _: web.Request) -> web.Response:
        return _answer(self._chain.tip.height, _MINUTE)

    async def tip_hash(self, _: web.Request) -> web.Response:
        return _answer(display(self._chain.tip.hash))

    async def tip_header(self, _: web.Request) -> web.Response:
        tip = self._chain.tip
        return _answer(header_json(tip.raw, tip.height, tip.hash))

    async def header_at(self, request: web.Request) -> web.Response:
        try:
            height = number("height", request.match_info["height"])
        except ParseError:
            return _refused(400, "ERR_INVALID_PARAMS", "Invalid height parameter")
        raw = await self._chain.header_at(height)
        if raw is None:
            return _refused(404, "ERR_NOT_FOUND", f"Header not found at height {height}")
        return _answer(header_json(raw, height), self._lasting(height))

    async def header_for(self, request: web.Request) -> web.Response:
        text = request.match_info["hash"]
        try:
            wanted = block_hash("hash", text)
        except ParseError:
            return _refused(400, "ERR_INVALID_PARAMS", "Invalid hash parameter")
        found = await self._chain.find(wanted)
        if found is None:
            return _refused(404, "ERR_NOT_FOUND", f"Header not found for hash {text}")
        return _answer(header_json(found[1], found[0]), self._lasting(found[0]))

    async def headers(self, request: web.Request) -> web.Response:
        try:
            first, count = (number(name, request.query.get(name, "")) for name in ("height", "count"))
        except ParseError as error:
            return _refused(400, "ERR_INVALID_PARAMS", str(error))
        if count > MAX_HEADERS:
            return _refused(400, "ERR_INVALID_PARAMS", f"count must be at most {MAX_HEADERS}")
        return _answer((await self._chain.headers(first, count)).hex(), self._lasting(first + count))

    def _lasting(self, height: int) -> str:
        return _KEPT if height + SETTLED < self._chain.tip.height else _FRESH


def _answer(value: object, keep: str = _FRESH) -> web.Response:
    body = orjson.dumps({"status": "success", "value": value})
    return web.Response(body=body, content_type="application/json", charset="utf-8", headers={"Cache-Control": keep})


def _refused(status: int, code: str, description: str) -> web.Response:
    body = orjson.dumps({"status": "error", "code": code, "description": description})
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
