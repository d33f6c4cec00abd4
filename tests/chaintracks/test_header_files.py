"""Files of headers are a short cut: wrong or missing ones cost time, never a wrong chain."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from sdk.chaintracks.sources.header_files import HeaderFiles
from sdk.service.http_app import create_app, running
from sdk.service.http_client import HttpClient, HttpPolicy
from support.header_rig import GENESIS, grown, raw

CHAIN = raw(grown([GENESIS], 30))


async def fetched(listing: Any, files: dict[str, bytes], first: int, last: int) -> tuple[bytes | None, list[str]]:
    """What comes of it, and which files were asked for."""
    asked: list[str] = []

    async def resources(request: web.Request) -> web.Response:
        base = str(request.url.origin())
        return web.json_response(
            {"files": [each.replace("BASE", base) for each in listing]} if isinstance(listing, list) else listing
        )

    async def file(request: web.Request) -> web.Response:
        asked.append(request.match_info["name"])
        if asked[-1] not in files:
            return web.Response(status=404)
        return web.Response(body=files[asked[-1]])

    app = create_app("files", [web.get("/block/headers/resources", resources), web.get("/f/{name}", file)])
    policy = HttpPolicy(attempts=1)
    async with running(app) as server, HttpClient(server.url, service="files", policy=policy) as http:
        found = HeaderFiles(http, server.url)
        result = await found.headers(first, last)
        assert await found.headers(first, last) == result  # the last file is kept, the rest asked for again
        return result, asked


WHOLE = ["BASE/f/0_9_headers.bin", "BASE/f/10_19_headers.bin", "BASE/f/latest"]
FILES = {
    "0_9_headers.bin": CHAIN[: 10 * 80],
    "10_19_headers.bin": CHAIN[10 * 80 : 20 * 80],
    "latest": CHAIN[20 * 80 :],
}


@pytest.mark.parametrize(("first", "last"), [(0, 9), (3, 5), (8, 12), (0, 30), (20, 30), (25, 26)])
async def test_headers_come_from_the_files_that_hold_them(first: int, last: int) -> None:
    found, asked = await fetched(WHOLE, FILES, first, last)
    assert found == CHAIN[first * 80 : (last + 1) * 80]
    if first // 10 == last // 10:
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("listing", "files"),
    [
        ([], {}),
        ({"no": "files"}, {}),
        ({"files": 7}, {}),
        ({"files": [7, None, "http://[", "x"]}, {}),
        (["http://127.0.0.2:1/f/0_9_headers.bin"], FILES),  # elsewhere on this network
        (["BASE/f/9_0_headers.bin"], FILES),
        (WHOLE, {}),
        (WHOLE, {**FILES, "0_9_headers.bin": CHAIN[:799]}),
        (WHOLE[:2], FILES),
    ],
)
async def test_files_that_are_odd_or_missing_give_nothing(listing: Any, files: dict[str, bytes]) -> None:
    found, _ = await fetched(listing, files, 0, 30)
    assert found is None
