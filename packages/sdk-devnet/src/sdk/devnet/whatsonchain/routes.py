"""WhatsOnChain's endpoints as wallets and header services use them (spec/arc.md §3)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.core.errors import ParseError
from sdk.core.transaction import Transaction
from sdk.devnet.chain.chain import Outcome
from sdk.devnet.errors import TransactionRefused
from sdk.devnet.whatsonchain import answers

if TYPE_CHECKING:
    from sdk.core.ports import Clock
    from sdk.devnet.devnet import Devnet

BASE = "/v1/bsv/{network:main|test|stn|teratest|regtest|mock}"
"""The one local chain answers under each of these names."""
STATUS_BATCH = 20
RECENT_HEADERS = 10
HEADERS_PER_FILE = 10_000
HISTORY_PAGE = 100
RATE = 24.1  # US dollars for a coin that is worth nothing: fixed, so that tests can reckon with it
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FILE = re.compile(r"(\d{1,9})_(\d{1,9})_headers\.bin", re.ASCII)


class WhatsOnChainRoutes:
    """Handlers over one devnet; route names are what faults are aimed at."""

    def __init__(self, devnet: Devnet, clock: Clock) -> None:
        self._chain, self._devnet, self._clock = devnet.chain, devnet, clock

    def table(self) -> list[web.RouteDef]:
        gets = {
            "/chain/info": self.chain_info,
            "/block/headers": self.recent_headers,
            "/block/headers/resources": self.header_files,
            "/block/headers/{name}": self.header_file,
            "/block/{block}/header": self.header,
            "/tx/{txid}/hex": self.transaction_hex,
            "/tx/{txid}/proof/tsc": self.proof,
            "/script/{script}/unspent/all": self.unspent,
            "/script/{script}/confirmed/history": self.confirmed,
            "/script/{script}/unconfirmed/history": self.unconfirmed,
            "/exchangerate": self.exchange_rate,
        }
        table = [
            web.get(BASE + path, handler, name=f"whatsonchain.{handler.__name__}", allow_head=False)
            for path, handler in gets.items()
        ]
        return [
            *table,
            web.post(BASE + "/tx/raw", self.broadcast, name="whatsonchain.broadcast"),
            web.post(BASE + "/txs/status", self.statuses, name="whatsonchain.statuses"),
        ]

    # blocks

    async def chain_info(self, request: web.Request) -> web.Response:
        return web.json_response(answers.chain_members(self._chain, request.match_info["network"]))

    async def recent_headers(self, _request: web.Request) -> web.Response:
        nodes = self._chain.active[-RECENT_HEADERS:][::-1]
        return web.json_response([answers.header_members(self._chain, node) for node in nodes])

    async def header(self, request: web.Request) -> web.Response:
        node = answers.find_block(self._chain, request.match_info["block"])
        if node is None:
            return _not_found()
        return web.json_response(answers.header_members(self._chain, node))

    async def header_files(self, request: web.Request) -> web.Response:
        """Whole files of 10,000 headers, then ``latest`` with the rest; their heights follow one another."""
        base = str(request.url.origin()) + request.path.removesuffix("/resources")
        whole = len(self._chain.active) // HEADERS_PER_FILE
        names = [f"{n * HEADERS_PER_FILE}_{(n + 1) * HEADERS_PER_FILE - 1}_headers.bin" for n in range(whole)]
        return web.json_response({"files": [f"{base}/{name}" for name in [*names, "latest"]]})

    async def header_file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        match = _FILE.fullmatch(name)
        if match is not None:
            first, last = int(match[1]), int(match[2])
            if not first <= last <= self._chain.height or last - first >= HEADERS_PER_FILE:
                return _not_found()
            nodes = self._chain.active[first : last + 1]
        elif name == "latest":
            nodes = self._chain.active[len(self._chain.active) // HEADERS_PER_FILE * HEADERS_PER_FILE :]
        else:
            return _not_found()
        return web.Response(body=answers.headers_bytes(nodes), content_type="application/octet-stream")

    # transactions

    async def transaction_hex(self, request: web.Request) -> web.Response:
        transaction = answers.known_transaction(self._chain, request.match_info["txid"].lower())
        return _not_found() if transaction is None else web.Response(text=transaction.to_hex())

    async def proof(self, request: web.Request) -> web.Response:
        txid = request.match_info["txid"].lower()
        if answers.known_transaction(self._chain, txid) is None:
            return _not_found()
        return web.json_response(answers.proof_members(self._chain, txid))

    async def statuses(self, request: web.Request) -> web.Response:
        txids = (await _json_object(request)).get("txids")
        if not isinstance(txids, list) or not 1 <= len(txids) <= STATUS_BATCH:
            raise web.HTTPBadRequest(text=f"txids must be a list of 1 to {STATUS_BATCH}")
        if not all(isinstance(each, str) and _HASH.fullmatch(each.lower()) for each in txids):
            raise web.HTTPBadRequest(text="each of txids must be 64 hex characters")
        return web.json_response([answers.status_members(self._chain, each.lower()) for each in txids])

    async def broadcast(self, request: web.Request) -> web.Response:
        text = (await _json_object(request)).get("txhex")
        if not isinstance(text, str):
            raise web.HTTPBadRequest(text="txhex is missing or not a string")
        try:
            transaction = Transaction.from_hex(text)
        except ParseError:
            return web.Response(status=400, text="unexpected response code 500: TX decode failed")
        try:
            outcome = self._devnet.submit(transaction, hold_orphan=False).outcome
        except TransactionRefused as refused:
            return web.Response(status=400, text=answers.refusal_text(refused))
        if outcome is not Outcome.ACCEPTED:
            return web.Response(status=400, text=answers.known_text(outcome))
        return web.json_response(transaction.txid())

    # scripts

    async def unspent(self, request: web.Request) -> web.Response:
        key = _script(request)
        return web.json_response({"script": key, "result": answers.unspent_members(self._chain, key), "error": ""})

    async def confirmed(self, request: web.Request) -> web.Response:
        key = _script(request)
        return _page(request, key, answers.confirmed_history(self._chain, key))

    async def unconfirmed(self, request: web.Request) -> web.Response:
        key = _script(request)
        return _page(request, key, answers.unconfirmed_history(self._chain, key))

    async def exchange_rate(self, _request: web.Request) -> web.Response:
        return web.json_response({"rate": RATE, "time": int(self._clock().timestamp()), "currency": "USD"})


def _page(request: web.Request, key: str, entries: list[dict[str, Any]]) -> web.Response:
    """``?token=`` asks for the page that ``nextPageToken`` named."""
    token = request.query.get("token", "0")
    if not (token.isascii() and token.isdigit() and len(token) <= 9):
        raise web.HTTPBadRequest(text="token is not one that was given out")
    if not entries:
        return _not_found()
    start = int(token)
    members: dict[str, Any] = {"script": key, "result": entries[start : start + HISTORY_PAGE], "error": ""}
    if start + HISTORY_PAGE < len(entries):
        members["nextPageToken"] = str(start + HISTORY_PAGE)
    return web.json_response(members)


def _script(request: web.Request) -> str:
    key = request.match_info["script"].lower()
    if not _HASH.fullmatch(key):
        raise web.HTTPBadRequest(text="a script hash has 64 hex characters")
    return key


def _not_found() -> web.Response:
    return web.Response(status=404, text="Not Found")


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        parsed = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return parsed
