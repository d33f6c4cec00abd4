"""Several sources at once: in order at the start, each on its own afterwards, none in the way of another."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.errors import SourceLied, SourceUnavailable
from sdk.chaintracks.sources import SourceTip
from sdk.service.database import Database
from support.header_rig import GENESIS, grown, raw
from support.header_server import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from sdk.chaintracks.sources import HeaderSource
    from sdk.core.header import BlockHeader

HEADERS = grown([GENESIS], 60)


class Shown:
    """A source of ours that shows ``chain``; ``gate`` holds its answers back while it is not set, ``meanwhile`` happens
    once while it fetches."""

    live = True

    def __init__(self, name: str, chain: list[BlockHeader], *, at_once: int = 2000) -> None:
        self.name, self.chain, self.at_once = name, chain, at_once
        self.gate = asyncio.Event()
        self.gate.set()
        self.looks = 0
        self.fetched: list[tuple[int, int]] = []
        self.fault: Exception | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def tip(self) -> SourceTip:
        self.looks += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return SourceTip(len(self.chain) - 1, bytes.fromhex(self.chain[-1].hash())[::-1])

    async def headers(self, first: int, last: int) -> bytes:
        self.fetched.append((first, last))
        await self.gate.wait()
        if self.meanwhile is not None and last > first:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return raw(self.chain[first : last + 1])

    async def close(self) -> None:
        self.gate.set()


@asynccontextmanager
async def following(
    folder: Path,
    *sources: HeaderSource,
    head_start: float = 3600.0,
    interval: float = 0.01,
    max_backoff: float = 0.02,
) -> AsyncIterator[Chaintracks]:
    async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
        opened = await Chaintracks.open("mock", database, [])
        tracks = Chaintracks(opened.chain, sources, interval=interval, max_backoff=max_backoff, head_start=head_start)
        try:
            yield tracks
        finally:
            await tracks.stop()


async def test_the_long_way_is_fetched_from_the_first_source_alone(tmp_path: Path) -> None:
    first, second, third = (Shown(name, HEADERS) for name in ("first", "second", "third"))
    first.gate.clear()
    async with following(tmp_path, first, second, third) as tracks:
        await tracks.start()
        await until(lambda: first.looks == 1)
        assert (second.looks, third.looks) == (0, 0)
        first.gate.set()
        await until(lambda: min(second.looks, third.looks) > 1)
        assert await tracks.chain.headers(0, 100) == raw(HEADERS)
        assert (0, 0) in first.fetched
        assert not second.fetched
        assert not third.fetched


async def test_a_first_source_that_fails_is_followed_by_the_next_at_once(tmp_path: Path) -> None:
    first, second = Shown("first", HEADERS), Shown("second", HEADERS)
    first.fault = SourceUnavailable("first", "gone")
    async with following(tmp_path, first, second) as tracks:
        await tracks.sync()
        assert await tracks.chain.headers(0, 100) == raw(HEADERS)
        assert [each.state for each in tracks.sources_status()] == ["backing_off", "ok"]
        assert tracks.is_current


async def test_a_first_source_that_hangs_holds_nobody_up_for_longer_than_its_head_start(tmp_path: Path) -> None:
    first, second = Shown("first", HEADERS), Shown("second", HEADERS)
    first.gate.clear()
    async with following(tmp_path, first, second, head_start=0.01) as tracks:
        await tracks.start()
        await until(lambda: tracks.chain.tip.height == 60)
        assert tracks.is_current


async def test_a_source_that_is_overtaken_looks_where_it_parts_instead_of_going_on(tmp_path: Path) -> None:
    slow, quick = Shown("slow", HEADERS, at_once=10), Shown("quick", HEADERS)
    async with following(tmp_path, slow, quick) as tracks:
        slow.meanwhile = tracks.followers[1].step
        await tracks.followers[0].step()
        assert quick.fetched
        assert tracks.chain.tip.height == 60
        assert len(slow.fetched) == 2  # where it parts, and one of seven stretches
        assert tracks.sources_status()[0].state == "ok"


async def test_one_in_quarantine_is_left_alone_while_the_others_go_on(tmp_path: Path) -> None:
    liar, honest = Shown("liar", HEADERS), Shown("honest", HEADERS[:30])
    liar.fault = SourceLied("liar", "wrong hash")
    async with following(tmp_path, liar, honest) as tracks:
        await tracks.start()
        await until(lambda: tracks.chain.tip.height == 29)
        honest.chain = HEADERS
        looks = honest.looks
        await until(lambda: tracks.chain.tip.height == 60 and honest.looks > looks + 5)
        assert liar.looks == 1
        assert tracks.sources_status()[0].state == "quarantined"


async def test_a_source_with_an_old_tip_takes_nothing_back(tmp_path: Path) -> None:
    stale, fresh = Shown("stale", HEADERS[:20]), Shown("fresh", HEADERS)
    async with following(tmp_path, stale, fresh) as tracks:
        for _ in range(3):
            await tracks.sync()
            assert await tracks.chain.headers(0, 100) == raw(HEADERS)
        assert [each.last_height for each in tracks.sources_status()] == [19, 60]


class Telling(Shown):
    """It always has news."""

    async def news(self) -> None:
        return


async def test_news_of_a_source_that_failed_ends_its_rest_but_no_sooner_than_it_is_asked_anyway(tmp_path: Path) -> None:
    source = Telling("telling", HEADERS)
    async with following(tmp_path, source, interval=0.2, max_backoff=300) as tracks:
        (loop,), stop = tracks.followers, asyncio.Event()
        clock = asyncio.get_running_loop().time
        source.fault = SourceUnavailable("telling", "out of order")
        for _ in range(12):
            delay = await loop.step()
        assert delay > 100
        since = clock()
        async with asyncio.timeout(20):
            await loop.rest(delay, stop)
        assert clock() - since >= 0.19
        source.fault = SourceLied("telling", "wrong work")
        assert await loop.step() == 3600
        since = clock()
        await loop.rest(0.5, stop)
        assert clock() - since >= 0.49
        source.fault = None
        delay = await loop.step()
        async with asyncio.timeout(20):
            await loop.rest(3600, stop)
