"""Subscribers of new tips over a real socket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.chaintracks.streams import MAX_WAITING, TipStream
from sdk.service.database import Database
from sdk.service.http_app import create_app, running
from support.header_rig import GENESIS, grown, mined, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[Chaintracks]:
    async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        yield await Chaintracks.open("mock", database, [])


async def event(answer: aiohttp.ClientResponse) -> Any:
    """The next event: its data, or the comment as text; None at the end."""
    lines = [(await answer.content.readline()).decode()]
    if lines == [""]:
        return None
    assert (await answer.content.readline()) == b"\n"
    return json.loads(lines[0].removeprefix("data: ")) if lines[0].startswith("data: ") else lines[0].strip()


async def test_a_subscriber_gets_the_tip_and_every_change_until_the_stop(tmp_path: Path) -> None:
    chain = grown([GENESIS], 4)
    async with service(tmp_path) as tracks, aiohttp.ClientSession() as session:
        await tracks.chain.extend(raw(chain[1:]))
        server = ChaintracksServer(tracks)
        url = await server.start()
        async with session.get(f"{url}/v2/tip/stream") as answer:
            assert answer.content_type == "text/event-stream"
            first = await event(answer)
            assert (first["hash"], first["height"]) == (chain[-1].hash(), 4)
            fork = grown(chain[:3], 3, salt="fork")
            await tracks.chain.extend(raw(fork[3:]))
            assert (await event(answer))["hash"] == fork[-1].hash()
            await server.stop()
            assert await event(answer) is None


async def test_a_quiet_stream_is_kept_alive_and_one_that_lags_is_cut_off(tmp_path: Path) -> None:
    async with service(tmp_path) as tracks, aiohttp.ClientSession() as session:
        stream = TipStream(tracks.chain, keepalive=0.01)
        async with (
            running(create_app("tips", stream.routes())) as server,
            session.get(f"{server.url}/v2/tip/stream") as answer,
        ):
            assert (await event(answer))["height"] == 0
            assert await event(answer) == ": keepalive"
            assert stream.subscribers == 1
            header = mined(GENESIS)
            change = await tracks.chain.extend(header.to_bytes())
            assert change is not None
            for _ in range(MAX_WAITING + 1):  # without giving the reader's task a turn
                stream._publish(change)
            assert stream.subscribers == 0
            while (last := await event(answer)) is not None:
                assert last == ": keepalive" or last["height"] == 1
