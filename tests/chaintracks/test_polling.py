"""Changes of a server that does not tell of them, found by looking (the reference's own: tests/interop)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.chaintracks.client import ChaintracksClient, Gap, HeadersUpdate, ReorgUpdate, UpdateStream
from sdk.chaintracks.client.checks import HeaderChecks
from sdk.chaintracks.client.endpoint import Endpoint
from sdk.chaintracks.client.polling import Poller
from sdk.chaintracks.consensus.fields import header_json
from sdk.core.errors import ConfigurationError, ServiceUnavailable
from support.header_rig import GENESIS, grown
from support.header_server import header_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.core.header import BlockHeader

    Chain = list[BlockHeader]

START = grown([GENESIS], 12)


class Server:
    """Shows ``chain``; what it has shown before it knows by hash. ``holes`` heights are missing from what it lists, and
    ``turns`` chains take its place one after the other, each before the next question."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.holes: set[int] = set()
        self.turns: list[Chain] = []
        self._known: dict[str, tuple[int, BlockHeader]] = {}

    def _now(self) -> Chain:
        chain = self.chain
        self._known |= {each.hash(): (height, each) for height, each in enumerate(chain)}
        if self.turns:
            self.chain = self.turns.pop(0)
        return chain

    async def tip(self) -> tuple[int, BlockHeader]:
        chain = self._now()
        return len(chain) - 1, chain[-1]

    async def headers(self, first: int, count: int) -> Chain:
        listed = self._now()[first : first + count]
        hole = min((each for each in self.holes if each >= first), default=first + count)
        return listed[: max(0, hole - first)]

    async def header_for(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        self._now()
        return self._known.get(block_hash)


class Subscriber:
    """Believes what it is told, and nothing else."""

    def __init__(self, chain: Chain) -> None:
        self.poller, self.chain = Poller(), [*chain]
        self.cursor: str | None = None
        self.reorgs: list[ReorgUpdate] = []

    async def look(self, server: Server) -> None:
        for update in await self.poller.look(server, self.cursor):
            assert not isinstance(update, Gap)
            if isinstance(update, ReorgUpdate):
                self.reorgs.append(update)
                continue
            assert len(self.chain) - update.removed == update.first
            self.chain = [*self.chain[: update.first], *update.headers]
        self.cursor = self.poller.cursor


STEP = st.one_of(
    st.tuples(st.just("grow"), st.integers(1, 4)),
    st.tuples(st.just("reorganise"), st.integers(1, 8)),
    st.tuples(st.just("late"), st.integers(1, 9)),
    st.tuples(st.just("old branch"), st.integers(0, 9)),
    st.tuples(st.just("tie"), st.integers(1, 5)),
    st.tuples(st.just("hole"), st.integers(0, 12)),
    st.tuples(st.just("moves"), st.integers(1, 4)),
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=60)
def test_whatever_is_late_or_missing_nothing_false_is_told_and_in_the_end_all_is(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_scenario(steps))


async def _scenario(steps: list[tuple[str, int]]) -> None:
    best, shown_before = START, [START]
    server = Server(best)
    subscriber = Subscriber(best)
    await subscriber.look(server)
    left: set[str] = set()  # blocks that the best chain has left
    for at, (name, argument) in enumerate(steps):
        server.holes, server.turns, shown = set(), [], best
        if name == "grow":
            best = grown(best, argument)
        elif name == "reorganise":
            depth = min(argument, len(best) - 1)
            gone, best = best, grown(best[:-depth], depth + 1, salt=str(at))
            left |= {each.hash() for each in gone[-depth:]}
        if name in ("grow", "reorganise"):
            shown = best
            shown_before.append(best)
        elif name == "late":
            shown = best[: max(1, len(best) - argument)]
        elif name == "old branch":
            shown = shown_before[argument % len(shown_before)]
        elif name == "tie":
            depth = min(argument, len(best) - 1)
            shown = grown(best[:-depth], depth, salt=f"tie {at}")
        elif name == "hole":
            server.holes = {max(0, len(best) - argument)}
        elif name == "moves":
            server.turns = [best[: max(1, len(best) - each)] for each in range(argument)]
        server.chain = shown
        await subscriber.look(server)
        assert all(each.hash() in left for update in subscriber.reorgs for _, each in update.deactivated)
    server.holes, server.turns, server.chain = set(), [], grown(best, 1)
    await subscriber.look(server)
    assert subscriber.chain == server.chain


async def test_a_reorganisation_is_told_whole_on_both_topics() -> None:
    server = Server(START)
    poller = Poller()
    assert await poller.look(server, None) == []
    server.chain = grown(START[:-3], 4, salt="fork")
    headers, reorg = await poller.look(server, poller.cursor)
    assert isinstance(headers, HeadersUpdate)
    assert (headers.first, headers.count, headers.removed, headers.headers) == (10, 4, 3, tuple(server.chain[10:]))
    assert isinstance(reorg, ReorgUpdate)
    assert reorg.deactivated == tuple((height, START[height]) for height in (12, 11, 10))
    assert (reorg.depth, reorg.old_tip, reorg.new_tip) == (3, (12, START[12]), (13, server.chain[13]))
    assert headers.cursor == reorg.cursor == poller.cursor


async def test_a_block_that_was_left_meanwhile_is_found_again_by_its_cursor() -> None:
    server = Server(grown(START[:-3], 3, salt="left"))
    await server.tip()
    cursor = f"7-{server.chain[-1].hash()}"
    server.chain = grown(START, 2)
    headers, reorg = await Poller().look(server, cursor)
    assert isinstance(headers, HeadersUpdate)
    assert (headers.first, headers.removed) == (10, 3)
    assert isinstance(reorg, ReorgUpdate)
    assert reorg.depth == 3


async def test_r60_a_cursor_whose_block_is_unknown_is_a_gap() -> None:
    cursor = f"7-{'ab' * 32}"
    (gap,) = await Poller().look(Server(START), cursor)
    assert gap == Gap(cursor, "the block of that cursor is not known here", f"0-{START[-1].hash()}")


async def test_a_long_absence_is_told_as_one_change_with_its_last_headers() -> None:
    server, poller = Server(START), Poller()
    await poller.look(server, None)
    server.chain = grown(START, 2100)
    (update,) = await poller.look(server, poller.cursor)
    assert isinstance(update, HeadersUpdate)
    assert (update.first, update.count, update.net) == (13, 2100, True)
    assert update.headers == tuple(server.chain[-2000:])
    server.chain = grown(server.chain, 1)
    (update,) = await poller.look(server, poller.cursor)
    assert isinstance(update, HeadersUpdate)
    assert update.headers == (server.chain[-1],)


class V1Only:
    """A service of v1 calls on a real socket."""

    def __init__(self, chain: Chain) -> None:
        self.server, self.url, self.asked, self.failed, self.failing = Server(chain), "", 0, 0, False

    async def answer(self, request: web.Request) -> web.Response:
        if self.failing:
            self.failed += 1
            return web.json_response({"status": "error", "code": "ERR_INTERNAL"}, status=500)
        self.asked += 1
        value: Any
        if request.path == "/findChainTipHeaderHex":
            height, header = await self.server.tip()
            value = header_json(header.to_bytes(), height)
        elif request.path == "/getHeaders":
            first, count = int(request.query["height"]), int(request.query["count"])
            value = "".join(each.to_hex() for each in await self.server.headers(first, count))
        elif request.path == "/findHeaderHexForBlockHash":
            found = await self.server.header_for(request.query["hash"])
            assert found is not None
            value = header_json(found[1].to_bytes(), found[0])
        else:
            return web.Response(status=404)
        return web.json_response({"status": "success", "value": value})


@pytest.fixture
async def plain() -> AsyncIterator[V1Only]:
    service = V1Only(START)
    app = web.Application()
    app.router.add_get("/{path:.*}", service.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


async def _until_asked(plain: V1Only, times: int) -> None:
    before = plain.asked
    async with asyncio.timeout(20):
        while plain.asked < before + times:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_subscription_goes_on_over_a_server_without_events_and_its_faults(plain: V1Only) -> None:
    async with ChaintracksClient(plain.url, poll=0.02) as client:
        updates: list[Any] = []
        reorgs: list[Any] = []
        cursor = f"0-{START[-1].hash()}"
        client.subscribe_headers(updates.append, cursor=cursor)
        client.subscribe_reorgs(reorgs.append, cursor=cursor)
        await _until_asked(plain, 6)
        plain.failing = True
        async with asyncio.timeout(20):
            while plain.failed < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        plain.server.chain = grown(START[:-2], 4, salt="fork")
        plain.failing = False
        async with asyncio.timeout(20):
            while not reorgs or not updates:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert [each.headers for each in updates] == [tuple(plain.server.chain[11:])]
        assert [each.depth for each in reorgs] == [2]


async def test_nothing_is_taken_for_live_that_is_only_looked_at(plain: V1Only) -> None:
    """So that no root is remembered which a look would be late to forget."""
    async with ChaintracksClient(plain.url, poll=0.02) as client:
        stream = client.header_updates()
        waiting = asyncio.create_task(anext(stream))
        await _until_asked(plain, 3)
        assert stream.polling
        assert not stream.live
        plain.server.chain = grown(START, 2)
        update = await waiting
        assert isinstance(update, HeadersUpdate)
        assert update.height == 14


async def test_a_server_that_tells_by_itself_is_preferred(plain: V1Only, tmp_path: Path) -> None:
    async with header_server(tmp_path, headers=START) as ours, ChaintracksClient([plain.url, ours.url]) as client:
        stream = client.header_updates()
        waiting = asyncio.create_task(anext(stream))
        async with asyncio.timeout(20):
            while not stream.live:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        (added,) = await ours.grow()
        update = await waiting
        assert isinstance(update, HeadersUpdate)
        assert update.headers == (added,)
        assert not stream.polling


async def test_a_server_without_events_serves_while_the_other_is_away_and_the_other_goes_on(
    plain: V1Only, tmp_path: Path
) -> None:
    checks = HeaderChecks("test")
    async with header_server(tmp_path, headers=START) as ours:
        port = int(ours.url.rpartition(":")[2])
    servers = [Endpoint(plain.url, checks), Endpoint(f"http://127.0.0.1:{port}", checks)]
    stream = UpdateStream(servers, "headers", checks, shortest=0.01, poll=0.02, recheck=0.1)
    waiting = asyncio.create_task(anext(stream))
    await _until_asked(plain, 3)
    chain = grown(START, 1)
    plain.server.chain = chain
    update = await waiting
    assert isinstance(update, HeadersUpdate)
    assert update.tip == chain[-1]
    waiting = asyncio.create_task(anext(stream))
    async with header_server(tmp_path, name="back", headers=chain, port=port) as ours:
        async with asyncio.timeout(20):
            while not stream.live:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        (added,) = await ours.grow()
        update = await waiting
        assert isinstance(update, HeadersUpdate)
        assert update.headers == (added,)
        await stream.aclose()
    for each in servers:
        await each.http.close()


async def test_a_stream_that_rests_between_two_looks_ends_at_once(plain: V1Only) -> None:
    client = ChaintracksClient(plain.url, poll=3600)
    stream = client.header_updates()
    waiting = asyncio.create_task(anext(stream))
    await _until_asked(plain, 2)
    async with asyncio.timeout(5):
        await client.destroy()
        with pytest.raises(StopAsyncIteration):
            await waiting


async def test_a_server_that_fails_raises_nothing_but_unavailable() -> None:
    class Failing(Server):
        async def headers(self, first: int, count: int) -> Chain:
            raise ServiceUnavailable("test", "out of order")

    with pytest.raises(ServiceUnavailable):
        await Poller().look(Failing(START), None)


def test_no_time_is_no_interval() -> None:
    with pytest.raises(ConfigurationError, match="every poll seconds"):
        ChaintracksClient("http://127.0.0.1:9", poll=0)
