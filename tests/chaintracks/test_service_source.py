"""Another header service as a source: v2 with its stream, v1 where there is no v2, and answers that are none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.sources.header_service import HeaderServiceSource
from sdk.chaintracks.sources.news import EventStreamNews
from sdk.service.database import Database
from sdk.service.http_client import HttpClient, HttpPolicy
from support.header_rig import GENESIS, grown, mined, raw
from support.header_server import header_server, until
from support.odd_servers import endless, serving, silent
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from sdk.core.header import BlockHeader


@asynccontextmanager
async def following(folder: Path, url: str, **options: Any) -> AsyncIterator[Chaintracks]:
    http = HttpClient(url, service="other", policy=HttpPolicy(attempts=1, timeout=2))
    async with await Database.open(f"sqlite:///{folder}/own.sqlite") as database:
        tracks = await Chaintracks.open(
            "mock", database, [HeaderServiceSource(url, name="other", http=http)], **options
        )
        try:
            yield tracks
        finally:
            await tracks.stop()


def shown(chain: list[BlockHeader], height: int) -> dict[str, Any]:
    header = chain[height]
    return {
        "version": header.version,
        "previousHash": header.previous_hash,
        "merkleRoot": header.merkle_root,
        "time": header.time,
        "bits": header.bits,
        "nonce": header.nonce,
        "height": height,
        "hash": header.hash(),
    }


def v1(chain: list[BlockHeader], **odd: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A service without v2, with the shapes that were recorded of the reference's; ``odd`` replaces values."""

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.path[1:]
        if name in odd:
            value = odd[name]
        elif name == "findChainTipHeaderHex":
            value = shown(chain, len(chain) - 1)
        elif name == "getHeaders":
            first, count = int(request.query["height"]), int(request.query["count"])
            value = raw(chain[first : first + count]).hex()
        else:
            raise web.HTTPNotFound
        return web.json_response({"status": "success", "value": value})

    return answer


async def test_a_service_is_followed_through_growth_and_reorganisations(tmp_path: Path) -> None:
    async with header_server(tmp_path, headers=grown([GENESIS], 150)) as served, following(tmp_path, served.url) as own:
        await own.sync()
        assert own.sources_status()[0].last_error is None
        assert await own.chain.headers(0, 1000) == raw(served.headers)
        await served.reorganise(20, 25)
        await own.sync()
        assert await own.chain.headers(0, 1000) == raw(served.headers)
        assert own.is_current


async def test_a_new_block_is_fetched_when_the_stream_tells_of_it(tmp_path: Path) -> None:
    async with (
        header_server(tmp_path) as served,
        following(tmp_path, served.url, interval=3600, max_backoff=7200) as own,
    ):
        await own.start()
        await until(lambda: own.chain.tip.height == 5)
        for height in range(6, 9):
            await served.grow()
            await until(lambda height=height: own.chain.tip.height == height)  # type: ignore[misc]
        await served.reorganise(2, 4)
        await until(lambda: own.chain.tip.height == 10)
        assert await own.chain.headers(0, 100) == raw(served.headers)


async def test_a_service_of_the_first_version_is_polled(tmp_path: Path) -> None:
    chain = grown([GENESIS], 40)
    async with serving(v1(chain)) as script, following(tmp_path, script.url) as own:
        await own.sync()
        assert own.sources_status()[0].last_error is None
        assert await own.chain.headers(0, 100) == raw(chain)
        asked = [each.path for each in script.seen if each.path.startswith("/v2")]
        await own.sync()
        assert [each.path for each in script.seen if each.path.startswith("/v2")] == asked == ["/v2/tip/header"]


async def test_the_recorded_answers_of_the_reference_are_understood() -> None:
    lines = vectors("wire", "chaintracks-wire.jsonl").read_bytes().splitlines()
    recorded = {each["req"]["url"].partition("8392")[2]: each["res"]["body"] for each in map(orjson.loads, lines)}

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path_qs not in recorded:
            raise web.HTTPNotFound
        return web.Response(text=recorded[request.path_qs], content_type="application/json")

    async with serving(answer) as script:
        source = HeaderServiceSource(script.url)
        tip = orjson.loads(recorded["/findChainTipHeaderHex"])["value"]
        assert await source.tip() == (tip["height"], bytes.fromhex(tip["hash"])[::-1])
        path = next(
            each for each, body in recorded.items() if each.startswith("/getHeaders?height=") and len(body) > 200
        )
        first, count = (int(each.partition("=")[2]) for each in path.partition("?")[2].split("&"))
        found = await source.headers(first, first + count - 1)
        assert found.hex() == orjson.loads(recorded[path])["value"]
        await source.close()


CHAIN = grown([GENESIS], 20)
OTHER = grown([mined(GENESIS, salt="elsewhere")], 20)
TIP = shown(CHAIN, 20)


def cut() -> str:
    return raw(CHAIN).hex()[:-80]


def easy() -> str:
    """The last header proves no work."""
    for nonce in range(200):
        header = type(CHAIN[20])(
            nonce=nonce,
            **{name: getattr(CHAIN[20], name) for name in ("version", "previous_hash", "merkle_root", "time", "bits")},
        )
        if not header.meets_target():
            return raw([*CHAIN[1:20], header]).hex()
    raise AssertionError("all do")


async def _page(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>maintenance</html>", content_type="text/html")


async def _circle(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.path)


async def _no_tip(_: web.Request) -> web.StreamResponse:
    return web.json_response(
        {"status": "error", "code": "ERR_NO_TIP", "description": "Chain tip not found"}, status=404
    )


@pytest.mark.parametrize(
    ("handler", "state", "words"),
    [
        (v1(CHAIN, findChainTipHeaderHex={**TIP, "height": "20"}), "backing_off", "tip makes no sense"),
        (v1(CHAIN, findChainTipHeaderHex={**TIP, "height": -1}), "backing_off", "tip makes no sense"),
        (v1(CHAIN, findChainTipHeaderHex={**TIP, "hash": "zz"}), "backing_off", "tip makes no sense"),
        (v1(CHAIN, findChainTipHeaderHex={**TIP, "hash": "00"}), "backing_off", "tip makes no sense"),
        (v1(CHAIN, findChainTipHeaderHex=[]), "backing_off", "tip makes no sense"),
        (v1(CHAIN, getHeaders="zz"), "backing_off", "no hex"),
        (v1(CHAIN, getHeaders=7), "backing_off", "no hex"),
        (v1(CHAIN, getHeaders=cut()), "backing_off", "bytes for headers"),
        (v1(CHAIN, getHeaders=""), "backing_off", "sent 0 bytes"),
        (v1(CHAIN, getHeaders="00" * 10**6), "backing_off", "more than"),
        (v1(OTHER), "quarantined", "another network"),
        (_page, "backing_off", "text/html"),
        (_circle, "backing_off", "redirects"),
        (_no_tip, "backing_off", "Chain tip not found"),
        (endless, "backing_off", "more than"),
        (silent, "backing_off", "did not answer"),
    ],
)
async def test_an_odd_service_is_named_and_moves_nothing(tmp_path: Path, handler: Any, state: str, words: str) -> None:
    async with serving(handler) as script, following(tmp_path, script.url) as own:
        await own.sync()
        status = own.sources_status()[0]
        assert words in str(status.last_error)
        assert status.state == state
        assert own.chain.tip.height == 0


async def test_headers_without_work_put_a_service_in_quarantine(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/getHeaders" and request.query["count"] != "1":
            return web.json_response({"status": "success", "value": easy()})
        return await v1(CHAIN)(request)

    async with serving(answer) as script, following(tmp_path, script.url) as own:
        await own.sync()
        assert own.sources_status()[0].state == "quarantined"
        assert own.chain.tip.height == 0


async def test_a_service_with_an_old_tip_confirms_it_only_while_that_is_fresh(tmp_path: Path) -> None:
    old = CHAIN[-1].time
    async with serving(v1(CHAIN)) as script, following(tmp_path, script.url) as own:
        await own.sync()
        assert own.is_current
        tracks = Chaintracks(own.chain, [], max_tip_age=24 * 3600.0)
        tracks.followers = own.followers
        assert "days old" in str(tracks.fault())
        tracks.clock = lambda: datetime.fromtimestamp(old + 23 * 3600, UTC)
        assert tracks.is_current


async def test_a_stream_that_breaks_off_is_heard_again(tmp_path: Path) -> None:
    connections = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal connections
        if request.path != "/v2/tip/stream":
            return await v1(CHAIN)(request)
        connections += 1
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"data: {}\n\n" * 1000)  # a flood
        return stream

    async with serving(answer) as script:
        news = EventStreamNews(f"{script.url}/v2/tip/stream", silence=5, least=0.05, shortest=0.01)
        woken = 0
        async with asyncio.timeout(20):
            while connections < 3:
                await news.wait()
                woken += 1
        await news.close()
        assert news.heard >= 2000
        assert woken < 20
