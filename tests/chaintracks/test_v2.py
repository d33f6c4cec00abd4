"""The read-only v2 calls: shapes, what may be cached, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.service.database import Database
from sdk.service.http_client import HttpClient
from support.header_rig import GENESIS, grown, raw

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
