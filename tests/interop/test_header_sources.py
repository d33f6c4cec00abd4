"""Our service follows the reference's ``ChaintracksService``, which runs from the npm package on a real port."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.fields import header_json
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.sources.header_service import HeaderServiceSource
from sdk.core.header import BlockHeader
from sdk.service.database import Database
from support.header_rig import grown, raw
from support.header_server import header_server
from support.peers import Peer
from support.requirements import vectors

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_references_service_is_followed_and_believed_in_nothing(tmp_path: Path) -> None:
    """It takes headers of any difficulty that somebody posts; ours does not take them from it."""
    index = json.loads(vectors("headers", "cdnTest402", "mainNetBlockHeaders.json").read_text())
    data = b"".join(vectors("headers", "cdnTest402", each["fileName"]).read_bytes() for each in index["files"])
    headers = [BlockHeader.from_bytes(data[at : at + 80]) for at in range(0, 402 * 80, 80)]
    shown = [header_json(each.to_bytes(), height) for height, each in enumerate(headers)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Peer.node("chaintracks_service") as peer:
        async with (
            header_server(tmp_path, network="main", headers=headers[:350]) as ours,
            await Database.open(f"sqlite:///{tmp_path}/follower.sqlite") as database,
        ):
            given = {"cdn": f"{ours.url}/blockheaders", "headers": shown, "threshold": 52}
            await asyncio.to_thread(peer.call, "start", patience=120, storage="nodb", port=port, **given)
            service = await Chaintracks.open("main", database, [HeaderServiceSource(f"http://127.0.0.1:{port}")])
            source = service.followers[0]

            async def until_it_shows(height: int) -> None:
                async with asyncio.timeout(60):
                    while (await source.source.tip()).height != height:  # type: ignore[union-attr]  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            await until_it_shows(401)
            await service.sync()
            assert source.last_error is None
            assert await service.chain.headers(0, 1000) == raw(headers)
            easy = grown(headers, 3)[-3:]
            posted = [header_json(each.to_bytes(), 402 + at) for at, each in enumerate(easy)]
            await asyncio.to_thread(peer.call, "feed", headers=posted)
            await until_it_shows(404)
            await service.sync()
            assert service.sources_status()[0].state == "quarantined"
            assert "easier than the network's limit" in str(source.last_error)
            assert await service.chain.headers(0, 1000) == raw(headers)
            await service.stop()
            await asyncio.to_thread(peer.call, "stop")
