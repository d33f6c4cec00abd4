"""Sources that answer with anything but headers: one clear reason, bounded memory, no change of tip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.service.database import Database
from sdk.service.http_app import create_app, running
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from pathlib import Path

BEST = "ab" * 32


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 65536)
    except ConnectionError:
        return response


def answering(status: int = 200, kind: str = "application/json", body: str = "", **headers: str) -> object:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, content_type=kind, text=body, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answering(kind="text/html", body="<html>maintenance</html>"), "text/html"),
        (answering(body="{"), "broken JSON"),
        (answering(body="[]"), "makes no sense"),
        (answering(body=f'{{"blocks": "7", "bestblockhash": "{BEST}"}}'), "makes no sense"),
        (answering(body=f'{{"blocks": true, "bestblockhash": "{BEST}"}}'), "makes no sense"),
        (answering(body=f'{{"blocks": -1, "bestblockhash": "{BEST}"}}'), "makes no sense"),
        (answering(body='{"blocks": 7, "bestblockhash": "zz"}'), "makes no sense"),
        (answering(body=f'{{"blocks": 7, "bestblockhash": "{BEST}"}}'), "/block/0/header"),
        (answering(status=302, Location="/chain/info"), "redirects"),
        (answering(status=429, **{"Retry-After": "9999"}), "(HTTP 429): no reason given"),
        (answering(status=404, kind="text/plain", body="no such network"), "no such network"),
        (endless, "more than 262144 bytes"),
    ],
)
async def test_an_odd_source_is_named_and_moves_nothing(tmp_path: Path, answer: object, words: str) -> None:
    app = create_app("odd", [web.get("/chain/info", answer)])  # type: ignore[arg-type]
    policy = HttpPolicy(attempts=1, max_response=256 * 1024)
    async with running(app) as server, await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        http = HttpClient(server.url, service="odd", policy=policy)
        tracks = await Chaintracks.open("mock", database, [WhatsOnChainSource(server.url, name="odd", http=http)])
        await tracks.sync()
        reason = str(tracks.followers[0].last_error)
        assert words in reason
        assert tracks.chain.tip.height == 0
        assert f"odd: {reason}" in str(await tracks.why_not_current())
        await tracks.stop()


async def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        http = HttpClient("http://127.0.0.1:9", service="gone", policy=HttpPolicy(attempts=1))
        source = WhatsOnChainSource("http://127.0.0.1:9", name="gone", http=http)
        tracks = await Chaintracks.open("mock", database, [source])
        await tracks.sync()
        assert "cannot be reached" in str(tracks.followers[0].last_error)
        await tracks.stop()
