"""JSON answers that may be kept: ETag and Cache-Control, and 304 for one who has it already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from sdk.chaintracks.consensus.fields import display

if TYPE_CHECKING:
    from sdk.chaintracks.chain import HeaderChain

SETTLED: Final = 100
"""Blocks above a header from which on an answer about it may be kept."""
FRESH: Final = "no-cache"
HOUR: Final = "public, max-age=3600"
MINUTE: Final = "public, max-age=60"


def lasting(chain: HeaderChain, height: int) -> str:
    return HOUR if height + SETTLED < chain.tip.height else FRESH


def tag(block_hash: bytes, *more: object) -> str:
    """What an answer is about: a chain up to a block is known by its hash."""
    return '"' + "-".join([display(block_hash)[-32:], *map(str, more)]) + '"'


def is_known(request: web.BaseRequest, etag: str) -> bool:
    given = request.headers.get("If-None-Match", "").split(",")
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in given)


def answer(request: web.BaseRequest, value: object, keep: str = FRESH, etag: str | None = None) -> web.Response:
    """``{"status": "success", "value": value}``"""
    headers = {"Cache-Control": keep}
    if etag is not None:
        headers["ETag"] = etag
        if is_known(request, etag):
            return web.Response(status=304, headers=headers)
    body = orjson.dumps({"status": "success", "value": value})
    return web.Response(body=body, content_type="application/json", charset="utf-8", headers=headers)


def refused(status: int, code: str, description: str) -> web.Response:
    body = orjson.dumps({"status": "error", "code": code, "description": description})
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
