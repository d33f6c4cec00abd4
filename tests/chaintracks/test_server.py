"""The v1 API over a real socket, and our two clients of it."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sdk.chaintracks.client import ChaintracksClient, ChaintracksTracker
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.chaintracks.server.parameters import MAX_HEADERS
from sdk.core.errors import ConfigurationError, ServiceUnavailable
from sdk.core.plugins import PluginRegistry
from sdk.core.ports import ChainTracker
from sdk.service.database import Database
from sdk.service.http_client import HttpClient
from sdk.wallet.services.headers import HeaderServiceClient
from support.header_rig import HeaderNetwork, mined
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Rig(NamedTuple):
    network: HeaderNetwork
    tracks: Chaintracks
    http: HttpClient
    url: str

    async def ok(self, path: str) -> Any:
        document = await self.http.get_json(path)
        assert document.pop("status") == "success"
        return document


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource

    network = HeaderNetwork()
    network.mine(120)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(network.served())
        database = await stack.enter_async_context(await Database.open(f"sqlite:///{folder}/headers.sqlite"))
        tracks = await Chaintracks.open("mock", database, [WhatsOnChainSource(source)], interval=3600)
        server = ChaintracksServer(tracks)
        url = await server.start()
        stack.push_async_callback(server.stop)
        http = await stack.enter_async_context(HttpClient(url, service="v1"))
        await tracks.sync()
        yield Rig(network, tracks, http, url)


async def test_every_endpoint_has_the_shape_of_v1(tmp_path: Path) -> None:
    async with rig(tmp_path) as v1:
        tip, seventh = v1.network.chain[-1], v1.network.chain[7]
        plain = {
            "version": 0x20000000,
            "previousHash": seventh.previous_hash,
            "merkleRoot": seventh.merkle_root,
            "time": seventh.time,
            "bits": 0x207FFFFF,
            "nonce": seventh.nonce,
            "height": 7,
            "hash": seventh.hash(),
            "headerId": 7,
            "previousHeaderId": 6,
            "chainWork": f"{16:064x}",
            "isActive": True,
            "isChainTip": False,
        }
        assert (await v1.http.request("GET", "/")).text() == "Chaintracks mockNet Block Header Service"
        assert "User-agent" in (await v1.http.request("GET", "/robots.txt")).text()
        assert await v1.ok("/getChain") == {"value": "mock"}
        assert await v1.ok("/getPresentHeight") == {"value": 120}
        assert await v1.ok("/findChainTipHashHex") == {"value": tip.hash()}
        assert await v1.ok("/findHeaderHexForHeight?height=7") == {"value": plain}
        assert await v1.ok(f"/findHeaderHexForBlockHash?hash={seventh.hash()}") == {"value": plain}
        assert await v1.ok("/findHeaderHexForHeight?height=121") == {}
        assert await v1.ok(f"/findHeaderHexForBlockHash?hash={'ab' * 32}") == {}
        assert await v1.ok("/getHeaders?height=119&count=50") == {
            "value": v1.network.chain[119].to_hex() + tip.to_hex()
        }
        assert await v1.ok("/getHeaders?height=500&count=2") == {"value": ""}
        found = (await v1.ok("/findChainTipHeaderHex"))["value"]
        assert (found["hash"], found["height"], found["isChainTip"]) == (tip.hash(), 120, True)
        assert int(found["chainWork"], 16) == 2 * 121
        assert len(found["chainWork"]) == 64
        info = (await v1.ok("/getInfo"))["value"]
        assert set(info) == {
            "chain", "heightBulk", "heightLive", "storage", "bulkIngestors", "liveIngestors", "packages"
        }  # fmt: skip
        assert (info["chain"], info["heightLive"]) == ("mock", 120)
        answer = await v1.http.request("GET", "/getPresentHeight")
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def _kinds(value: dict[str, Any]) -> dict[str, type]:
    """The reference's flags are 0 and 1 as SQLite gives them; its types say that they are booleans."""
    return {key: int if isinstance(each, bool) else type(each) for key, each in value.items() if each is not None}


async def test_members_are_those_of_the_recorded_reference(tmp_path: Path) -> None:
    """By endpoint, the JSON members that the reference answers with, for known and for unknown headers."""
    async with rig(tmp_path) as v1:
        v1.network.reorganise(2, 3)
        stale = v1.tracks.chain.tip.hash[::-1].hex()
        await v1.tracks.sync()
        ours = {
            "/getChain": "",
            "/getInfo": "",
            "/getInfo?wait": "?wait=5",
            "/getPresentHeight": "",
            "/findChainTipHashHex": "",
            "/findChainTipHeaderHex": "",
            "/findHeaderHexForHeight": "?height=100",
            "/findHeaderHexForBlockHash": f"?hash={stale}",
            "/getHeaders": "?height=3&count=2",
        }
        seen = set()
        for line in vectors("wire", "chaintracks-wire.jsonl").read_text().splitlines():
            exchange = json.loads(line)
            url, answer = exchange["req"]["url"], exchange["res"]
            path = "/" + url.split("/", 3)[3]
            name = "/getInfo?wait" if "wait" in path else path.partition("?")[0]
            if exchange["req"]["method"] != "GET" or answer["status"] != 200 or name not in ours:
                continue
            theirs = json.loads(answer["body"])
            if "value" not in theirs or (
                isinstance(theirs["value"], dict) and theirs["value"].get("height", 2000) <= 1000
            ):
                continue  # a header the reference keeps in a file has fewer members
            mine = await v1.http.get_json(name.partition("?")[0] + ours[name])
            assert set(mine) == set(theirs)
            assert type(mine["value"]) is type(theirs["value"])
            if isinstance(mine["value"], dict):
                assert set(mine["value"]) == set(theirs["value"])
                assert _kinds(mine["value"]) | _kinds(theirs["value"]) == _kinds(mine["value"])
            seen.add(name)
        assert seen == set(ours)
        found = (await v1.ok(f"/findHeaderHexForBlockHash?hash={stale}"))["value"]
        assert (found["isActive"], found["isChainTip"], found["height"]) == (False, False, 120)


@pytest.mark.parametrize(
    "path",
    [
        "/findHeaderHexForHeight",
        "/findHeaderHexForHeight?height=x",
        "/findHeaderHexForHeight?height=-1",
        "/findHeaderHexForHeight?height=1e3",
        "/findHeaderHexForHeight?height=99999999999",
        "/findHeaderHexForHeight?height=%D9%A3",
        "/findHeaderHexForBlockHash?hash=00",
        "/findHeaderHexForBlockHash",
        "/getHeaders?height=0",
        f"/getHeaders?height=0&count={MAX_HEADERS + 1}",
    ],
)
async def test_bad_parameters_are_400_and_named(tmp_path: Path, path: str) -> None:
    async with rig(tmp_path) as v1:
        answer = await v1.http.request("GET", path, check=False)
        document = answer.json()
        assert (answer.status, document["status"], document["code"]) == (400, "error", "ERR_PARSE")
        assert any(name in document["description"] for name in ("height", "hash", "count"))


async def test_exchange_rates_are_refused_in_plain_words(tmp_path: Path) -> None:
    async with rig(tmp_path) as v1:
        answer = await v1.http.request("GET", "/getFiatExchangeRates", check=False)
        assert (answer.status, answer.json()["status"]) == (501, "error")


async def test_an_added_header_is_checked_like_any_other(tmp_path: Path) -> None:
    async with rig(tmp_path) as v1:
        parent = v1.network.chain[-1]
        good = mined(parent)
        body = {
            "version": good.version,
            "previousHash": good.previous_hash,
            "merkleRoot": good.merkle_root,
            "time": good.time,
            "bits": good.bits,
            "nonce": good.nonce,
        }

        async def post(**changes: Any) -> tuple[int, str]:
            answer = await v1.http.request("POST", "/addHeaderHex", json={**body, **changes}, check=False)
            return answer.status, answer.json().get("code", "success")

        nonce = next(n for n in range(good.nonce + 1, 1 << 32) if not _meets(good, n))
        assert await post(nonce=nonce) == (400, "ERR_INVALID_HEADER")
        assert await post(bits=0x2000FFFF) == (400, "ERR_INVALID_HEADER")
        assert await post(previousHash="12" * 32, nonce=_nonce(good, "12" * 32)) == (400, "ERR_UNKNOWN_PARENT")
        assert await post(nonce="7") == (400, "ERR_PARSE")
        assert await post(nonce=1 << 32) == (400, "ERR_PARSE")
        assert await post(merkleRoot="0g" * 32) == (400, "ERR_PARSE")
        assert await post(hash="00" * 32) == (400, "ERR_PARSE")
        assert (await v1.http.request("POST", "/addHeaderHex", data=b"[", check=False)).status == 400
        assert v1.tracks.chain.tip.height == 120
        assert await post() == (200, "success")
        assert await post() == (200, "success")
        assert await v1.ok("/findChainTipHashHex") == {"value": good.hash()}


def _meets(header: Any, nonce: int) -> bool:
    from dataclasses import replace

    return bool(replace(header, nonce=nonce).meets_target())


def _nonce(header: Any, previous: str) -> int:
    from dataclasses import replace

    other = replace(header, previous_hash=previous)
    return next(n for n in range(1 << 32) if _meets(other, n))


async def test_readiness_is_false_until_the_chain_is_current(tmp_path: Path) -> None:
    network = HeaderNetwork(failing=True)
    from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource

    async with network.served() as source, await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        tracks = await Chaintracks.open("mock", database, [WhatsOnChainSource(source)], interval=3600)
        server = ChaintracksServer(tracks)
        async with HttpClient(await server.start(), service="v1") as http:
            network.failing = False
            answer = await http.request("GET", "/healthz")
            assert answer.status == 200
            await tracks.sync()
            assert (await http.request("GET", "/readyz")).status == 200
            tracks.followers[0].current_at = None
            document = (await http.request("GET", "/readyz", check=False)).json()
            assert "not synchronised yet" in document["reasons"]["headers"]
            assert b"http_" in (await http.request("GET", "/metrics")).body
        await server.stop()


async def test_figures_say_what_the_service_does(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        before = r.tracks.chain.tip.height
        r.network.reorganise(2, 4)
        await r.tracks.sync()
        text = (await r.http.request("GET", "/metrics")).text()
        figures = {
            (each.name, *each.labels.values()): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
        }
        source = r.tracks.followers[0].source.name
        assert figures["chaintracks_height",] == before + 2
        assert figures["chaintracks_current",] == 1
        assert figures["chaintracks_tip_age_seconds",] > 0
        assert figures["chaintracks_events_total",] == r.tracks.chain.last_event
        assert figures["chaintracks_source_up", source, "ok"] == 1
        assert figures["chaintracks_source_height", source] == before + 2
        assert figures["chaintracks_subscribers", "websocket"] == figures["chaintracks_subscribers", "sse"] == 0
        assert (figures["chaintracks_reorg_depth_count",], figures["chaintracks_reorg_depth_sum",]) == (1, 2)
        r.network.failing = True
        await r.tracks.sync()
        text = (await r.http.request("GET", "/metrics")).text()
        assert f'chaintracks_source_up{{source="{source}",state="backing_off"}} 0.0' in text


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    async with rig(tmp_path) as v1:
        port = int(v1.url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is taken"):
            await ChaintracksServer(v1.tracks).start(port=port)


async def test_the_wallets_client_understands_this_server(tmp_path: Path) -> None:
    async with rig(tmp_path) as v1:
        client = HeaderServiceClient(v1.url)
        try:
            assert await client.get_height() == 120
            assert await client.is_valid_root_for_height(v1.network.chain[9].merkle_root, 9)
            assert not await client.is_valid_root_for_height(v1.network.chain[9].merkle_root, 10)
            assert await client.find_header_for_hash(v1.network.chain[5].hash()) == (5, v1.network.chain[5])
        finally:
            await client.close()


async def test_r52_the_client_is_a_chain_tracker_that_forgets_what_a_reorg_may_change(tmp_path: Path) -> None:
    factory: type[ChaintracksTracker] = PluginRegistry[Any]("sdk.wallet.chain_trackers").load("chaintracks")
    assert factory is ChaintracksTracker
    async with rig(tmp_path) as v1, factory(v1.url, max_roots=5) as tracker:
        client = tracker.client
        assert isinstance(tracker, ChainTracker)
        assert isinstance(client, ChainTracker)
        old = v1.network.chain
        assert await tracker.current_height() == 120
        assert await tracker.is_valid_root_for_height(old[118].merkle_root, 118)
        assert not await tracker.is_valid_root_for_height("ab" * 32, 118)
        with pytest.raises(ServiceUnavailable, match="knows no block at height 121"):
            await tracker.is_valid_root_for_height("ab" * 32, 121)
        v1.network.reorganise(5, 6)
        await v1.tracks.sync()
        assert not await tracker.is_valid_root_for_height(old[118].merkle_root, 118)
        assert await tracker.is_valid_root_for_height(v1.network.chain[118].merkle_root, 118)
        for height in range(20):
            assert await tracker.is_valid_root_for_height(v1.network.chain[height].merkle_root.upper(), height)
        assert len(tracker._roots) == 5
        assert await client.headers(119, 10) == v1.network.chain[119:]
        assert await client.tip() == (121, v1.network.chain[121])
        assert await client.header_for(old[118].hash()) == (118, old[118])  # known, beside the chain
        assert await client.header_at(122) is None
        assert await client.header_for("ab" * 32) is None


@pytest.mark.parametrize(
    "value",
    [None, [], "x", {"height": 7}, -1, True, {"version": 1, "previousHash": "00" * 32}],
)
async def test_r52_nonsense_is_no_verdict(value: Any) -> None:
    from aiohttp import web

    from sdk.service.http_app import create_app, running

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": "success", "value": value})

    paths = ("/getPresentHeight", "/findHeaderHexForHeight", "/findChainTipHeaderHex", "/getHeaders")
    app = create_app("odd", [web.get(path, answer) for path in paths])
    async with running(app) as server, ChaintracksClient(server.url) as client:
        with pytest.raises(ServiceUnavailable):
            await client.is_valid_root_for_height("00" * 32, 7)
        with pytest.raises(ServiceUnavailable):
            await client.current_height()
        with pytest.raises(ServiceUnavailable):
            await client.tip()
        with pytest.raises(ServiceUnavailable):
            await client.headers(0, 1)
