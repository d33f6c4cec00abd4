"""The v1 calls (spec/wallet-stack.md §6.2)."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash, header_json, internal, pack_header
from sdk.chaintracks.errors import InvalidHeader, UnknownParent
from sdk.chaintracks.server.parameters import MAX_HEADERS, block_hash, number
from sdk.core.errors import NotImplementedByPeer, ParseError
from sdk.service.http_app import REQUEST_ID, error_response

if TYPE_CHECKING:
    from sdk.chaintracks.engine import Chaintracks
    from sdk.chaintracks.tree import Node

MAX_WAIT: Final = 1_000
"""Milliseconds that ``getInfo?wait=`` waits at most, for it holds one of the places for requests meanwhile."""
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ABSENT: Final = object()


class V1:
    def __init__(self, service: Chaintracks) -> None:
        self._service = service
        self._chain = service.chain

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/getChain", self.get_chain),
            web.get("/getInfo", self.get_info),
            web.get("/getPresentHeight", self.get_present_height),
            web.get("/findChainTipHashHex", self.find_chain_tip_hash),
            web.get("/findChainTipHeaderHex", self.find_chain_tip_header),
            web.get("/findHeaderHexForHeight", self.find_header_for_height),
            web.get("/findHeaderHexForBlockHash", self.find_header_for_block_hash),
            web.get("/getHeaders", self.get_headers),
            web.get("/getFiatExchangeRates", self.get_fiat_exchange_rates),
            web.post("/addHeaderHex", self.add_header),
        ]

    async def get_chain(self, _: web.Request) -> web.Response:
        return _success(self._chain.rules.chain)

    async def get_info(self, request: web.Request) -> web.Response:
        tree = self._chain.tree
        value = {
            "chain": self._chain.rules.chain,
            "heightBulk": tree.root.height,
            "heightLive": tree.tip.height,
            "storage": self._chain.store.name,
            "bulkIngestors": [],
            "liveIngestors": [each.source.name for each in self._service.followers],
            "packages": [],
        }
        if "wait" in request.query:
            await asyncio.sleep(min(number("wait", request.query.get("wait", "")), MAX_WAIT) / 1000)
            value["wait"] = request.query["wait"]
        return _success(value, fresh=True)

    async def get_present_height(self, _: web.Request) -> web.Response:
        """Our own tip, which is checked, and not what a source claims."""
        return _success(self._chain.tip.height, fresh=True)

    async def find_chain_tip_hash(self, _: web.Request) -> web.Response:
        return _success(display(self._chain.tip.hash), fresh=True)

    async def find_chain_tip_header(self, _: web.Request) -> web.Response:
        return _success(self._live(self._chain.tip), fresh=True)

    async def find_header_for_height(self, request: web.Request) -> web.Response:
        height = number("height", request.query.get("height", ""))
        node = self._chain.tree.at(height)
        if node is not None:
            return _success(self._live(node))
        raw = await self._chain.header_at(height)
        return _success(_ABSENT if raw is None else header_json(raw, height))

    async def find_header_for_block_hash(self, request: web.Request) -> web.Response:
        wanted = block_hash("hash", request.query.get("hash", ""))
        node = self._chain.tree.get(wanted)
        if node is not None:
            return _success(self._live(node))
        found = await self._chain.find(wanted)
        return _success(_ABSENT if found is None else header_json(found[1], found[0]))

    async def get_headers(self, request: web.Request) -> web.Response:
        height, count = (
            number("height", request.query.get("height", "")),
            number("count", request.query.get("count", "")),
        )
        if count > MAX_HEADERS:
            raise ParseError("count", f"at most {MAX_HEADERS} headers are answered at once; ask in parts")
        return _success((await self._chain.headers(height, count)).hex())

    async def get_fiat_exchange_rates(self, _: web.Request) -> web.Response:
        raise NotImplementedByPeer("this header service follows no exchange rates; ask a rates service")

    async def add_header(self, request: web.Request) -> web.Response:
        """Checked like any other: 400 for one that breaks a rule or follows no header in memory."""
        raw = _header_of(await request.read())
        try:
            await self._chain.extend(raw, anywhere=False)
        except (InvalidHeader, UnknownParent) as error:
            return error_response(400, error.code, str(error), request[REQUEST_ID])
        return _success(_ABSENT)

    def _live(self, node: Node) -> dict[str, Any]:
        """A header that is in memory, with its place in the tree."""
        return {
            **header_json(node.raw, node.height, node.hash),
            "headerId": node.order,
            "previousHeaderId": None if node.parent is None else node.parent.order,
            "chainWork": f"{node.work:064x}",
            "isActive": self._chain.tree.is_active(node),
            "isChainTip": node is self._chain.tip,
        }


def _success(value: object, *, fresh: bool = False) -> web.Response:
    body = {"status": "success"} if value is _ABSENT else {"status": "success", "value": value}
    headers = {"Cache-Control": "no-cache"} if fresh else {}
    return web.Response(body=orjson.dumps(body), content_type="application/json", charset="utf-8", headers=headers)


def _header_of(body: bytes) -> bytes:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError("header", f"is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise ParseError("header", "must be an object {version, previousHash, merkleRoot, time, bits, nonce}")
    hashes = [_member(given, name, str) for name in ("previousHash", "merkleRoot")]
    if not all(map(_HASH.fullmatch, hashes)):
        raise ParseError("header", "previousHash and merkleRoot must be 64 lower-case hex characters")
    version, time, bits, nonce = (_member(given, name, int) for name in ("version", "time", "bits", "nonce"))
    if not all(0 <= each <= 0xFFFFFFFF for each in (time, bits, nonce)) or not -(1 << 31) <= version <= 0xFFFFFFFF:
        raise ParseError("header", "version, time, bits and nonce must be 32-bit numbers")
    signed = version - (1 << 32) if version > 0x7FFFFFFF else version
    raw = pack_header(signed, internal(hashes[0]), internal(hashes[1]), time, bits, nonce)
    if len(raw) != HEADER or given.get("hash", display(header_hash(raw))) != display(header_hash(raw)):
        raise ParseError("header", f"its hash is {display(header_hash(raw))}, not {given.get('hash')!r:.70}")
    return raw


def _member(given: dict[str, Any], name: str, kind: type) -> Any:
    value = given.get(name)
    if type(value) is not kind:
        raise ParseError("header", f"{name} must be a {'number' if kind is int else 'string'}")
    return value
