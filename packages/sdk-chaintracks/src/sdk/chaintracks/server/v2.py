"""The v2 calls (spec/wallet-stack.md §6.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash, header_json
from sdk.chaintracks.server.answers import MINUTE, answer, lasting, refused, tag
from sdk.chaintracks.server.parameters import MAX_HEADERS, block_hash, number
from sdk.chaintracks.server.ranges import bytes_answer
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from sdk.chaintracks.engine import Chaintracks


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
            web.get("/v2/headers.bin", self.header_bytes),
        ]

    async def network(self, request: web.Request) -> web.Response:
        return answer(request, self._chain.rules.chain)

    async def height(self, request: web.Request) -> web.Response:
        return answer(request, self._chain.tip.height, MINUTE)

    async def tip_hash(self, request: web.Request) -> web.Response:
        tip = self._chain.tip
        return answer(request, display(tip.hash), etag=tag(tip.hash))

    async def tip_header(self, request: web.Request) -> web.Response:
        tip = self._chain.tip
        return answer(request, header_json(tip.raw, tip.height, tip.hash), etag=tag(tip.hash))

    async def header_at(self, request: web.Request) -> web.Response:
        try:
            height = number("height", request.match_info["height"])
        except ParseError:
            return refused(400, "ERR_INVALID_PARAMS", "Invalid height parameter")
        raw = await self._chain.header_at(height)
        if raw is None:
            return refused(404, "ERR_NOT_FOUND", f"Header not found at height {height}")
        return self._header(request, height, raw, header_hash(raw))

    async def header_for(self, request: web.Request) -> web.Response:
        text = request.match_info["hash"]
        try:
            wanted = block_hash("hash", text)
        except ParseError:
            return refused(400, "ERR_INVALID_PARAMS", "Invalid hash parameter")
        found = await self._chain.find(wanted)
        if found is None:
            return refused(404, "ERR_NOT_FOUND", f"Header not found for hash {text}")
        return self._header(request, found[0], found[1], wanted)

    async def headers(self, request: web.Request) -> web.Response:
        try:
            first, count = _range(request)
        except ParseError as error:
            return refused(400, "ERR_INVALID_PARAMS", str(error))
        raw = await self._chain.headers(first, count)
        return answer(request, raw.hex(), lasting(self._chain, first + count), _range_tag(raw, first))

    async def header_bytes(self, request: web.Request) -> web.StreamResponse:
        """The same as bytes, 80 a header; fewer at the tip, none beyond it."""
        try:
            first, count = _range(request)
        except ParseError as error:
            return refused(400, "ERR_INVALID_PARAMS", str(error))
        raw = await self._chain.headers(first, count)
        return bytes_answer(request, raw, _range_tag(raw, first), lasting(self._chain, first + count))

    def _header(self, request: web.Request, height: int, raw: bytes, hash_: bytes) -> web.Response:
        return answer(request, header_json(raw, height, hash_), lasting(self._chain, height), tag(hash_))


def _range_tag(raw: bytes, first: int) -> str:
    return tag(header_hash(raw[-HEADER:]), first) if raw else '"none"'


def _range(request: web.Request) -> tuple[int, int]:
    first, count = (number(name, request.query.get(name, "")) for name in ("height", "count"))
    if count > MAX_HEADERS:
        raise ParseError("count", f"must be at most {MAX_HEADERS}")
    return first, count
