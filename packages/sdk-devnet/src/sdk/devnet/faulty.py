"""The middleware that lets faults happen; see ``sdk.devnet.faults``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.core.transaction import Transaction
from sdk.devnet.arc.bodies import read_payloads
from sdk.devnet.arc.problems import ArcProblem
from sdk.devnet.faults import FaultKind
from sdk.devnet.lies import Lie, Told, tell, thanks

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from sdk.devnet.chain.chain import Chain
    from sdk.devnet.faults import Fault, Faults

_ADMIN = "admin."
_INSTEAD = (FaultKind.DROP, FaultKind.ERROR)


def fault_middleware(faults: Faults, chain: Chain) -> Middleware:
    """Every request but those to the admin endpoints may be hit."""

    @web.middleware
    async def pass_through(request: web.Request, handler: Handler) -> web.StreamResponse:
        endpoint = request.match_info.route.name or ""
        hits = faults.take(endpoint) if endpoint and not endpoint.startswith(_ADMIN) else []
        for fault in hits:
            if fault.kind is FaultKind.DELAY:
                await asyncio.sleep(fault.seconds)
        if any(fault.kind in _INSTEAD for fault in hits):
            return await _spoil(request, web.Response(), next(each for each in hits if each.kind in _INSTEAD))
        forgetful = any(fault.lie is Lie.FORGOTTEN for fault in hits)
        response = await (_forget(request) if forgetful else handler(request))
        for fault in hits:
            if fault.lie is not None:
                response = _lie(request, response, fault.lie, chain)
            elif fault.kind is not FaultKind.DELAY:
                response = await _spoil(request, response, fault)
        return response

    return pass_through


async def _forget(request: web.Request) -> web.Response:
    """Thank for the transaction and throw it away; what holds none is a bad request, as ever."""
    endpoint, body = request.match_info.route.name or "", await request.read()
    txid = _subject(endpoint, request.headers.get("Content-Type", ""), body)
    if txid is None:
        return web.Response(status=400, text="there is no transaction in the body")
    return _response(thanks(endpoint, txid))


def _subject(endpoint: str, content_type: str, body: bytes) -> str | None:
    try:
        if endpoint == "whatsonchain.broadcast":
            return Transaction.from_hex(json.loads(body)["txhex"]).txid()
        return read_payloads(content_type, body, batch=False)[0].subject
    except (ArcProblem, ValueError, KeyError, TypeError):
        return None


def _lie(request: web.Request, response: web.StreamResponse, lie: Lie, chain: Chain) -> web.StreamResponse:
    if lie is Lie.FORGOTTEN or not isinstance(response, web.Response):
        return response
    told = Told(request.match_info.route.name or "", response.status, response.text or "")
    return _response(tell(lie, told, chain))


def _response(told: Told) -> web.Response:
    content_type = "application/json" if told.text[:1] in ('"', "{", "[") else "text/plain"
    return web.Response(status=told.status, text=told.text, content_type=content_type)


async def _spoil(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.kind in (FaultKind.ERROR, FaultKind.ERROR_ANSWER):
        return web.Response(status=fault.status, text=fault.body, content_type=fault.content_type)
    if fault.kind is FaultKind.TRUNCATE and isinstance(response, web.Response) and isinstance(response.body, bytes):
        await _send_half(request, response.body)
    if request.transport is not None:
        request.transport.abort()
    return response


async def _send_half(request: web.Request, body: bytes) -> None:
    cut = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    await asyncio.sleep(0)
