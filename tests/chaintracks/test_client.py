"""Our client beside real servers of ours: subscriptions, resume, failover, quorum, lies, and that nothing is left."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from sdk.chaintracks.client import ChaintracksClient, ChaintracksTracker, Gap, HeadersUpdate, ReorgUpdate
from sdk.chaintracks.consensus.fields import header_json
from sdk.core.errors import ConfigurationError, ServiceRejected, ServiceUnavailable
from sdk.service.http_app import create_app, running
from support.header_rig import GENESIS, grown, mined
from support.header_server import header_server, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.chaintracks.client import UpdateStream
    from sdk.core.header import BlockHeader
    from support.header_server import HeaderServer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[HeaderServer]:
    async with header_server(tmp_path) as server:
        yield server


async def headers_of(stream: UpdateStream) -> HeadersUpdate:
    async with asyncio.timeout(20):
        update = await anext(stream)
    assert isinstance(update, HeadersUpdate)
    return update


async def connected(stream: UpdateStream) -> asyncio.Task[Any]:
    """The next update, asked for, once the server has answered the subscription."""
    task = asyncio.ensure_future(anext(stream))
    await until(lambda: stream.live)
    return task


async def test_every_call(served: HeaderServer) -> None:
    async with ChaintracksClient(served.url) as client:
        tip = served.headers[-1]
        assert await client.chain() == "mock"
        assert (await client.info())["heightLive"] == 5
        assert await client.current_height() == 5
        assert await client.tip() == (5, tip)
        assert await client.header_at(3) == served.headers[3]
        assert await client.header_at(6) is None
        assert await client.header_for(tip.hash()) == (5, tip)
        assert await client.headers(4, 9) == served.headers[4:]
        assert await client.is_valid_root_for_height(tip.merkle_root, 5)
        assert not await client.is_valid_root_for_height("ab" * 32, 5)
        assert not await client.is_synchronized()
        assert not client.is_listening
        new = mined(tip)
        await client.add_header(new)
        assert await client.tip() == (6, new)
        with pytest.raises(ServiceRejected):
            await client.add_header(mined(grown([GENESIS], 1, salt="elsewhere")[1], salt="orphan"))


async def test_updates_of_headers_and_reorganisations(served: HeaderServer) -> None:
    async with ChaintracksClient(served.url) as client:
        stream, reorgs = client.header_updates(), client.reorg_updates()
        first, reorg = await connected(stream), await connected(reorgs)
        (new,) = await served.grow()
        assert (await first).headers == (new,)
        gone = await served.reorganise(2, 3)
        update = await headers_of(stream)
        assert (update.first, update.removed, update.height, update.tip) == (5, 2, 7, served.headers[-1])
        told = await reorg
        assert isinstance(told, ReorgUpdate)
        assert [header for _, header in told.deactivated] == gone
        assert (told.depth, told.old_tip, told.new_tip) == (2, (6, gone[0]), (7, served.headers[-1]))


async def test_listeners_are_called_until_they_are_unsubscribed(served: HeaderServer) -> None:
    async with ChaintracksClient(served.url) as client:
        plain: asyncio.Queue[object] = asyncio.Queue()
        seen: asyncio.Queue[object] = asyncio.Queue()

        async def fails_once(update: object) -> None:
            await seen.put(update)
            if seen.qsize() == 1:
                raise RuntimeError("the listener's own fault")

        one = client.subscribe_headers(plain.put_nowait)
        two = client.subscribe_headers(fails_once)
        three = client.subscribe_reorgs(plain.put_nowait)
        assert client.is_listening
        await until(lambda: all(stream.live for stream, _ in client._subscriptions.values()))
        await served.grow(2)
        for queue in (plain, seen):
            heights = [(await asyncio.wait_for(queue.get(), 10)).height for _ in range(2)]  # type: ignore[attr-defined]
            assert heights == [6, 7]
        assert [await client.unsubscribe(each) for each in (one, two, three, one)] == [True, True, True, False]
        assert not client.is_listening


async def test_r58_the_cursor_moves_only_after_an_update_was_handled(served: HeaderServer) -> None:
    async with ChaintracksClient(served.url) as client:
        stream = client.header_updates()
        first = await connected(stream)
        begun = stream.cursor
        await served.grow(2)
        update = await first
        assert stream.cursor == begun
        await headers_of(stream)
        assert stream.cursor == update.cursor
        again = client.header_updates(cursor=begun)
        assert [(await headers_of(again)).height for _ in range(2)] == [6, 7]


async def test_r61_a_stream_goes_on_at_the_next_server_without_loss(tmp_path: Path) -> None:
    """The second server has a log of its own, in which the first one's cursors mean nothing."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(header_server(tmp_path, name="one"))
        two = await stack.enter_async_context(header_server(tmp_path, name="two", start=0))
        for each in one.headers[1:]:
            await two.service.chain.extend(each.to_bytes())
        client = await stack.enter_async_context(ChaintracksClient([one.url, two.url]))
        stream = client.header_updates()
        first = await connected(stream)
        await one.grow()
        assert (await first).height == 6
        waiting = asyncio.ensure_future(anext(stream))
        await one.server.stop()
        two.headers = one.headers
        await two.service.chain.extend(one.headers[-1].to_bytes())
        await two.reorganise(2, 4)
        update = await asyncio.wait_for(waiting, 20)
        assert isinstance(update, HeadersUpdate)
        assert (update.first, update.removed, list(update.headers)) == (5, 2, two.headers[5:])
        assert await client.current_height() == 8


async def test_r60_a_gap_is_told(served: HeaderServer) -> None:
    async with ChaintracksClient(served.url) as client:
        cursor = f"3-{'ab' * 32}"
        update = await anext(client.header_updates(cursor=cursor))
        assert update == Gap(cursor, "the block of that cursor is not known here", f"1-{served.headers[-1].hash()}")


async def test_a_call_goes_to_the_next_server_when_one_fails(served: HeaderServer) -> None:
    async with ChaintracksClient(["http://127.0.0.1:9", served.url]) as client:
        assert await client.current_height() == 5
        assert await client.header_at(2) == served.headers[2]
    async with ChaintracksClient(["http://127.0.0.1:9"]) as client:
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await client.current_height()


async def test_a_quorum_must_agree(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        names = ("one", "two", "three")
        servers = [await stack.enter_async_context(header_server(tmp_path, name=each)) for each in names]
        await servers[0].grow(2)
        client = await stack.enter_async_context(ChaintracksClient([each.url for each in servers], quorum=2))
        assert await client.current_height() == 5  # two have reached it
        assert await client.tip() == (5, servers[1].headers[5])
        assert await client.header_at(6) is None  # two of three say so
        assert await client.headers(4, 5) == servers[1].headers[4:]
        await servers[1].reorganise(2, 3)
        await servers[2].reorganise(2, 4, salt="another")
        with pytest.raises(ServiceUnavailable, match="1 of 3 servers agree, 2 must"):
            await client.header_at(5)
    for urls, quorum in (([], 1), (["http://a"], 2), (["http://a"], 0)):
        with pytest.raises(ConfigurationError, match="quorum"):
            ChaintracksClient(urls, quorum=quorum)


def _members(header: BlockHeader, height: int, **changes: Any) -> dict[str, Any]:
    return {**header_json(header.to_bytes(), height), **changes}


def _lies(chain: list[BlockHeader]) -> list[dict[str, Any]]:
    weak = next(each for nonce in range(1 << 20) if not (each := replace(chain[6], nonce=nonce)).meets_target())
    elsewhere = grown([GENESIS], 7, salt="elsewhere")
    message = {"type": "headers", "cursor": f"2-{chain[6].hash()}", "first": 6, "count": 1, "removed": 0, "net": False}
    return [
        {**message, "headers": [_members(weak, 6)]},
        {**message, "headers": [_members(chain[6], 6, hash="ab" * 32)]},
        {**message, "headers": [_members(chain[6], 7)]},
        {**message, "headers": [_members(elsewhere[6], 6)]},
        {**message, "headers": []},
        {**message, "headers": [_members(chain[6], 6)], "cursor": 7},
        {**message, "count": 2, "headers": [_members(chain[6], 6), _members(elsewhere[7], 7)]},
        {"type": "reorg", "cursor": "", "depth": 1, "deactivated": [], "oldTip": {}, "newTip": {}},
    ]


@pytest.mark.parametrize("number", range(8))
async def test_a_server_that_lies_to_subscribers_is_left(served: HeaderServer, number: int) -> None:
    chain = served.headers
    lie = _lies(grown(chain, 1))[number]
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked.append(await socket.receive_json())
        cursor = f"1-{chain[-1].hash()}"
        await socket.send_json({"type": "subscribed", "cursor": cursor, "tip": _members(chain[-1], 5)})
        await socket.send_json({"type": "news of a kind that is not known yet"})
        await socket.send_json(lie)
        await socket.receive()
        return socket

    async with (
        running(create_app("liar", [web.get("/v2/ws", answer)])) as liar,
        ChaintracksClient([liar.url, served.url]) as client,
    ):
        stream = client.header_updates()
        waiting = asyncio.ensure_future(anext(stream))
        await until(lambda: stream.connections == 2)
        (new,) = await served.grow(salt="truth")
        update = await waiting
        assert isinstance(update, HeadersUpdate)
        assert update.headers == (new,)
        assert len(asked) == 1


async def test_easy_headers_do_not_pass_for_those_of_the_main_network(served: HeaderServer) -> None:
    async with ChaintracksClient(served.url, chain="main") as client:
        with pytest.raises(ServiceUnavailable, match="does not prove its work"):
            await client.tip()
        with pytest.raises(ServiceUnavailable, match="does not prove its work"):
            await client.headers(1, 2)
    with pytest.raises(ConfigurationError):
        ChaintracksClient(served.url, chain="moon")


async def test_destroy_leaves_no_task_and_no_socket(served: HeaderServer) -> None:
    def sockets() -> int:
        return sum(os.readlink(each).startswith("socket:") for each in Path("/proc/self/fd").iterdir() if each.exists())

    tasks, before = asyncio.all_tasks(), sockets()
    client = ChaintracksClient(["http://127.0.0.1:9", served.url])
    client.subscribe_headers(lambda _: None)
    client.subscribe_reorgs(lambda _: None)
    stream = client.header_updates()
    waiting = await connected(stream)
    await client.current_height()
    await client.destroy()
    with pytest.raises(StopAsyncIteration):
        await waiting
    await until(lambda: sockets() <= before and asyncio.all_tasks() == tasks)  # the server's ends close a moment later
    with pytest.raises(ServiceUnavailable, match="closed"):
        await client.current_height()


async def test_destroy_ends_at_once_what_waits_to_reconnect() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    nowhere = "http://127.0.0.1:9"
    client, tracker = ChaintracksClient(nowhere), ChaintracksTracker(nowhere)
    client.subscribe_headers(lambda _: None)
    tracker.follow()
    with pytest.raises(ServiceUnavailable):
        await tracker.is_valid_root_for_height("ab" * 32, 1)
    async with asyncio.timeout(2):
        await asyncio.gather(client.destroy(), tracker.close())
    await until(lambda: asyncio.all_tasks() == tasks)
    assert threading.active_count() == threads


async def test_the_tracker_forgets_recent_roots_when_it_is_told_that_they_are_gone(served: HeaderServer) -> None:
    async with ChaintracksTracker(served.url) as tracker:
        tracker.follow()
        await until(tracker._is_live)
        old = served.headers
        assert await tracker.is_valid_root_for_height(old[5].merkle_root, 5)
        assert await tracker.is_valid_root_for_height(old[3].merkle_root, 3)
        assert set(tracker._recent) == {3, 5}
        await served.reorganise(1, 2)
        await until(lambda: 5 not in tracker._recent)
        assert not await tracker.is_valid_root_for_height(old[5].merkle_root, 5)
        assert set(tracker._recent) == {3, 5}
        tracker._connections = -1  # as after a connection that was lost and made again
        assert await tracker.is_valid_root_for_height(served.headers[5].merkle_root, 5)
        assert set(tracker._recent) == {5}
