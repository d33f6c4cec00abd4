"""The middleware that lets faults happen; see ``sdk.devnet.faults``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.devnet.faults import FaultKind

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from sdk.devnet.faults import Fault, Faults

_ADMIN = "admin."
_INSTEAD = (FaultKind.DROP, FaultKind.ERROR)


def fault_middleware(faults: Faults) -> Middleware:
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
        response = await handler(request)
        for fault in hits:
            if fault.kind is not FaultKind.DELAY:
                response = await _spoil(request, response, fault)
        return response

    return pass_through


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
