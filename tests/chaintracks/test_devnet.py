"""The header service on the devnet's own WhatsOnChain endpoints."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sdk.chaintracks.client import ChaintracksClient
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.chaintracks.sources.p2p import PeerSource
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.core.chain import MOCK
from sdk.devnet.server import DevnetServer
from sdk.service.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from sdk.chaintracks.events import TipEvent


@asynccontextmanager
async def followed(folder: Path) -> AsyncIterator[tuple[DevnetServer, Chaintracks]]:
    async with DevnetServer() as server, await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        source = WhatsOnChainSource(server.urls.whatsonchain)
        tracks = await Chaintracks.open("mock", database, [source], interval=3600)
        try:
            yield server, tracks
        finally:
            await tracks.stop()


async def test_follows_the_devnet_through_blocks_and_reorgs(tmp_path: Path) -> None:
    async with followed(tmp_path) as (server, tracks):
        devnet = server.devnet
        for depth in (1, 2, 10):
            devnet.mine(15)
            await tracks.sync()
            devnet.reorg(depth)
            await tracks.sync()
            assert tracks.followers[0].last_error is None
            assert tracks.chain.tip.height == devnet.height
        wanted = b"".join(devnet.header_at(height).to_bytes() for height in range(devnet.height + 1))
        assert await tracks.chain.headers(0, 1000) == wanted


async def test_follows_the_devnet_over_bitcoin_p2p_through_blocks_and_reorgs(tmp_path: Path) -> None:
    async with DevnetServer() as server, await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        host, _, port = server.peer.rpartition(":")
        tracks = await Chaintracks.open("mock", database, [PeerSource(MOCK, [(host, int(port))])], interval=3600)
        tips: asyncio.Queue[TipEvent] = asyncio.Queue()
        tracks.chain.listeners.append(tips.put_nowait)
        try:
            await tracks.sync()
            assert tracks.chain.tip.height == server.devnet.height
            await tracks.start()
            for depth in (1, 2, 10):
                server.devnet.mine(12)
                server.devnet.reorg(depth)
                async with asyncio.timeout(20):
                    while tracks.chain.tip.height != server.devnet.height:
                        await tips.get()
            wanted = b"".join(server.devnet.header_at(each).to_bytes() for each in range(server.devnet.height + 1))
            assert await tracks.chain.headers(0, 1000) == wanted
            assert [each.state for each in tracks.sources_status()] == ["ok"]
        finally:
            await tracks.stop()


async def test_many_headers_come_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def one_by_one(_: WhatsOnChainSource, first: int, last: int) -> bytes:
        assert first == last, "asked for one by one"
        return await real(_, first, last)

    real = WhatsOnChainSource._one_by_one
    monkeypatch.setattr(WhatsOnChainSource, "_one_by_one", one_by_one)
    async with followed(tmp_path) as (server, tracks):
        server.devnet.mine(600, empty=True)
        await tracks.sync()
        assert tracks.followers[0].last_error is None
        assert tracks.chain.tip.height == server.devnet.height >= 600


async def test_the_devnets_blocks_are_verified_by_root_and_height(tmp_path: Path) -> None:
    async with followed(tmp_path) as (devnet, tracks):
        devnet.devnet.mine(3)
        server = ChaintracksServer(tracks)
        async with ChaintracksClient(await server.start()) as tracker:
            await tracks.sync()
            root = devnet.devnet.header_at(2).merkle_root
            assert await tracker.is_valid_root_for_height(root, 2)
            assert not await tracker.is_valid_root_for_height(root, 1)
        await server.stop()
