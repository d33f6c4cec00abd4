"""The read-only v2 calls: shapes, what may be cached, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.service.database import Database
from sdk.service.http_client import HttpClient
from support.header_rig import GENESIS, grown, raw
from support.header_server import header_server

if TYPE_CHECKING:
    from pathlib import Path


async def test_v2_answers_in_its_shapes(tmp_path: Path) -> None:
    chain = grown([GENESIS], 150)
    async with await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        tracks = await Chaintracks.open("mock", database, [])
        await tracks.chain.extend(raw(chain[1:]))
        server = ChaintracksServer(tracks)
        async with HttpClient(await server.start(), service="v2") as http:

            async def get(path: str) -> tuple[int, object, str]:
                answer = await http.request("GET", path, check=False)
                document = answer.json()
                return answer.status, document.get("value", document.get("code")), answer.headers["Cache-Control"]

            old, tip = chain[7], chain[-1]
            header = {
                "version": old.version,
                "previousHash": old.previous_hash,
                "merkleRoot": old.merkle_root,
                "time": old.time,
                "bits": old.bits,
                "nonce": old.nonce,
                "height": 7,
                "hash": old.hash(),
            }
            kept = "public, max-age=3600"
            assert await get("/v2/network") == (200, "mock", "no-cache")
            assert await get("/v2/height") == (200, 150, "public, max-age=60")
            assert await get("/v2/tip/hash") == (200, tip.hash(), "no-cache")
            found = (await get("/v2/tip/header"))[1]
            assert isinstance(found, dict)
            assert (found["hash"], found["height"]) == (tip.hash(), 150)
            assert await get("/v2/header/height/7") == (200, header, kept)
            assert await get(f"/v2/header/hash/{old.hash()}") == (200, header, kept)
            assert (await get("/v2/header/height/50"))[2] == "no-cache"
            assert await get("/v2/headers?height=7&count=2") == (200, raw(chain[7:9]).hex(), kept)
            assert await get("/v2/headers?height=150&count=9") == (200, tip.to_hex(), "no-cache")
            assert (await get("/v2/header/height/x"))[:2] == (400, "ERR_INVALID_PARAMS")
            assert (await get("/v2/header/hash/12"))[:2] == (400, "ERR_INVALID_PARAMS")
            assert (await get("/v2/headers?height=7"))[:2] == (400, "ERR_INVALID_PARAMS")
            assert (await get("/v2/headers?height=7&count=20001"))[:2] == (400, "ERR_INVALID_PARAMS")
            assert (await get("/v2/header/height/151"))[:2] == (404, "ERR_NOT_FOUND")
            assert (await get(f"/v2/header/hash/{'ab' * 32}"))[:2] == (404, "ERR_NOT_FOUND")
            description = (await http.request("GET", "/v2/header/height/151", check=False)).json()["description"]
            assert description == "Header not found at height 151"
        await server.stop()


async def test_who_has_an_answer_already_is_told_so(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=150) as served, HttpClient(served.url, service="v2") as http:
        old = served.headers[7].hash()
        for path in (
            "/v2/tip/hash",
            "/v2/tip/header",
            "/v2/header/height/7",
            f"/v2/header/hash/{old}",
            "/v2/headers?height=5&count=3",
            "/v2/headers.bin?height=5&count=3",
        ):
            etag = (await http.request("GET", path)).headers["ETag"]
            for given in (etag, f'"x", W/{etag}', "*"):
                again = await http.request("GET", path, headers={"If-None-Match": given}, check=False)
                assert (again.status, again.body) == (304, b"")
            assert (await http.request("GET", path, headers={"If-None-Match": '"x"'})).status == 200
        before = (await http.request("GET", "/v2/tip/hash")).headers["ETag"]
        await served.grow()
        answer = await http.request("GET", "/v2/tip/hash", headers={"If-None-Match": before})
        assert answer.json()["value"] == served.headers[-1].hash()


async def test_headers_as_bytes_whole_or_in_part(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=20) as served, HttpClient(served.url, service="v2") as http:
        path, whole = "/v2/headers.bin?height=3&count=4", raw(served.headers[3:7])
        answer = await http.request("GET", path)
        assert (answer.body, answer.content_type) == (whole, "application/octet-stream")
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert (await http.request("GET", "/v2/headers.bin?height=19&count=9")).body == raw(served.headers[19:])
        assert (await http.request("GET", "/v2/headers.bin?height=21&count=9")).body == b""
        parts = {
            "bytes=80-159": (80, 160),
            "bytes=100-": (100, 320),
            "bytes=0-99999": (0, 320),
            "bytes=-80": (240, 320),
            "bytes=-99999": (0, 320),
            "bytes=-": (0, 320),
            "bytes=0-79,160-239": (0, 320),
        }
        for given, (start, stop) in parts.items():
            part = await http.request("GET", path, headers={"Range": given})
            assert part.body == whole[start:stop]
            if stop - start < 320:
                assert (part.status, part.headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/320")
        stale = await http.request("GET", path, headers={"Range": "bytes=80-", "If-Range": '"other"'})
        assert (stale.status, stale.body) == (200, whole)
        for given in ("bytes=320-", "bytes=9-3", "bytes=-0", f"bytes={10**17}-"):
            assert (await http.request("GET", path, headers={"Range": given}, check=False)).status == 416
        for bad in ("height=3&count=20001", "height=x&count=1", "height=3"):
            assert (await http.request("GET", f"/v2/headers.bin?{bad}", check=False)).status == 400


async def test_status_and_metrics_say_how_it_stands(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=5) as served, HttpClient(served.url, service="v2") as http:
        gone = await served.reorganise(2, 3)
        value = (await http.get_json("/v2/status"))["value"]
        tip = served.headers[-1]
        assert (value["network"], value["tip"]["hash"], value["current"]) == ("mock", tip.hash(), False)
        assert "no source is configured" in value["reason"]
        assert value["lag"] > 0
        (reorg,) = value["reorgs"]
        assert (reorg["depth"], reorg["fork"], reorg["newTip"]) == (2, 3, {"height": 6, "hash": tip.hash()})
        assert reorg["deactivated"] == [each.hash() for each in gone]
        text = (await http.request("GET", "/metrics")).text()
        for line in (
            "chaintracks_height 6.0",
            "chaintracks_current 0.0",
            "chaintracks_events_total 2.0",
            'chaintracks_subscribers{kind="websocket"} 0.0',
            'chaintracks_reorg_depth_bucket{le="2.0"} 1.0',
            "chaintracks_reorg_depth_sum 2.0",
            'chaintracks_subscribers_dropped_total{reason="stall"} 0.0',
        ):
            assert line in text.splitlines()
