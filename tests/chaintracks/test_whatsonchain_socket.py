"""WhatsOnChain's WebSocket of headers beside its REST wire (spec/arc.md §3.1), spoken by a real server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.sources.news import WhatsOnChainNews
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.service.database import Database
from support.header_rig import HeaderNetwork, as_woc, raw
from support.header_server import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Socket:
    """``said`` lists what clients sent, ``open`` the connections that have subscribed."""

    said: list[str] = field(default_factory=list)
    open: list[web.WebSocketResponse] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        async for message in socket:
            self.said.append(message.data)
            if message.data == "{}":
                await socket.send_str('{"connect":{"client":"x","version":"5"}}')
                await socket.send_str('{"type":5,"channel":"woc:blockHeader"}')
                self.open.append(socket)
        return socket

    async def tell(self, text: str) -> None:
        await self.open[-1].send_str(text)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/websocket/blockHeaders", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "ws://{}:{}/websocket/blockHeaders".format(*runner.addresses[0][:2])
            yield self.url
        finally:
            await runner.cleanup()


def published(network: HeaderNetwork) -> str:
    tip = len(network.chain) - 1
    header = {**as_woc(network.chain[tip], tip), "bits": network.chain[tip].bits}
    return json.dumps({"channel": "woc:blockHeader", "pub": {"data": header}})


async def test_a_block_that_the_socket_tells_of_is_fetched_at_once_and_a_lost_socket_is_opened_again(
    tmp_path: Path,
) -> None:
    network, socket = HeaderNetwork(), Socket()
    network.mine(3)
    async with (
        network.served() as url,
        socket.served() as live,
        await Database.open(f"sqlite:///{tmp_path}/h.sqlite") as database,
    ):
        news = WhatsOnChainNews(live, ping=0.05, least=0.0, shortest=0.01)
        tracks = await Chaintracks.open("mock", database, [WhatsOnChainSource(url, socket=news)], interval=3600)
        await tracks.start()
        try:
            await until(lambda: tracks.chain.tip.height == 3 and bool(socket.open))
            network.mine(1)
            await socket.tell(published(network))
            await until(lambda: tracks.chain.tip.height == 4)
            await socket.open[-1].close()
            await until(lambda: len(socket.open) == 2)
            network.reorganise(1, 2)
            await socket.tell(published(network))
            await until(lambda: tracks.chain.tip.height == 5)
            assert await tracks.chain.headers(0, 10) == raw(network.chain)
        finally:
            await tracks.stop()
        assert socket.said[0] == "{}"
        await until(lambda: all(each.closed for each in socket.open))


async def test_pings_are_sent_and_answered() -> None:
    socket = Socket()
    async with socket.served() as url:
        news = WhatsOnChainNews(url, ping=0.02)
        waiting = asyncio.create_task(news.wait())
        await until(lambda: socket.said.count("ping") >= 2)
        await news.close()
        waiting.cancel()
        quiet = WhatsOnChainNews(url, ping=3600)
        waiting = asyncio.create_task(quiet.wait())
        await until(lambda: len(socket.open) == 2)
        socket.said.clear()
        await socket.tell("")
        await socket.tell("{}")
        await until(lambda: socket.said == ["ping"])
        assert not quiet.heard
        await quiet.close()
        waiting.cancel()


@pytest.mark.parametrize("text", ["{", "[" * 5000, '{"type":7,"data":{"code":200}}', "x" * 300_000])
async def test_a_socket_that_ends_or_talks_nonsense_is_opened_again(text: str) -> None:
    socket = Socket()
    async with socket.served() as url:
        news = WhatsOnChainNews(url, shortest=0.01)
        waiting = asyncio.create_task(news.wait())
        await until(lambda: len(socket.open) == 1)
        await socket.tell(text)
        await until(lambda: len(socket.open) == 2)
        assert not news.heard
        await news.close()
        waiting.cancel()


async def test_a_silent_socket_is_left() -> None:
    socket = Socket()
    async with socket.served() as url:
        news = WhatsOnChainNews(url, silence=0.05, shortest=0.01)
        waiting = asyncio.create_task(news.wait())
        await until(lambda: socket.connections >= 3)
        await news.close()
        waiting.cancel()


async def test_a_socket_that_is_not_there_costs_nothing_but_time() -> None:
    news = WhatsOnChainNews("ws://127.0.0.1:9/websocket/blockHeaders", shortest=0.01)
    waiting = asyncio.create_task(news.wait())
    await until(lambda: news._failures >= 3)
    assert not waiting.done()
    await news.close()
    waiting.cancel()
