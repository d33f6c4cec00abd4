"""Several processes over one store: each shows what any of them has written, with Redis or without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.client import ChaintracksClient
from sdk.chaintracks.client.updates import HeadersUpdate
from sdk.chaintracks.engine import system_clock
from sdk.chaintracks.shared.redis_news import RedisNews
from sdk.chaintracks.shared.watch import watching
from sdk.core.errors import ConfigurationError
from support.databases import empty_database
from support.header_rig import GENESIS, HeaderNetwork, grown, raw
from support.requirements import missing
from support.store_rig import store_rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.client.updates import Gap, ReorgUpdate
    from sdk.chaintracks.events import TipEvent

SDK = [sys.executable, "-c", "from sdk.service.cli.root import run; run()"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}
CHANNEL = "sdk.chaintracks.mock"

pytestmark = pytest.mark.timeout(120)


class OwnRedis:
    """A Redis server of the test's own, to be killed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            missing("redis-server", "run ./scripts/services start redis")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


class Reader:
    """What a process that only reads has told its subscribers."""

    def __init__(self, chain: HeaderChain) -> None:
        self.chain, self.ids = chain, list[int]()
        self._news = asyncio.Condition()
        chain.listeners.append(self._heard)

    def _heard(self, event: TipEvent) -> None:
        self.ids.append(event.id)
        asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, tip: bytes) -> None:
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: self.chain.tip.hash == tip)


@asynccontextmanager
async def writer_and_reader(kind: str, folder: Path) -> AsyncIterator[tuple[HeaderChain, Reader]]:
    async with store_rig(kind, folder) as rig:
        writer, reader = await rig.chain(system_clock), await rig.chain(system_clock)
        yield writer, Reader(reader)
        await writer.checker.close()
        await reader.checker.close()


@pytest.mark.parametrize("kind", ["sql-sqlite", "sql-postgresql", "sql-mariadb"])
async def test_without_redis_a_process_finds_what_others_wrote_when_it_looks(kind: str, tmp_path: Path) -> None:
    headers = grown([GENESIS], 6)
    async with writer_and_reader(kind, tmp_path) as (writer, reader), watching(reader.chain, every=0.05):
        for each in headers[1:]:
            await writer.extend(each.to_bytes())
            await reader.until(writer.tip.hash)
        assert reader.ids == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", ["sql-sqlite", "sql-postgresql", "files-sqlite"])
@pytest.mark.parametrize("read", ["state", "span", "active", "rows", "events_after"])
@pytest.mark.parametrize("change", ["growth", "reorganisation"])
async def test_a_write_between_two_reads_of_a_refresh_is_seen_whole_by_the_next(
    kind: str, read: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = grown([GENESIS], 6)
    after = grown(headers[:5], 3, salt="fork")[5:] if change == "reorganisation" else grown(headers, 1)[7:]
    async with writer_and_reader(kind, tmp_path) as (writer, reader):
        await writer.extend(raw(headers[1:]))
        live = reader.chain.store.live
        original, pending = getattr(live, read), [raw(after)]

        async def read_then_written(*arguments: Any) -> Any:
            found = await original(*arguments)
            if pending:
                await writer.extend(pending.pop())
            return found

        monkeypatch.setattr(live, read, read_then_written)
        while reader.chain.tip.hash != writer.tip.hash or pending:
            assert await reader.chain.refresh(), "it must not take itself for up to date"
            assert reader.chain.last_event == reader.ids[-1]
        assert reader.ids == [1, 2]
        assert await reader.chain.headers(0, 100) == await writer.headers(0, 100)


async def test_over_redis_it_learns_at_once_and_after_redis_was_killed_everything_it_missed(
    redis: OwnRedis, tmp_path: Path
) -> None:
    headers = grown([GENESIS], 9)
    fork = grown(headers[:8], 3, salt="fork")
    async with writer_and_reader("sql-postgresql", tmp_path) as (writer, reader):
        told, heard = RedisNews.open(redis.url, CHANNEL), RedisNews.open(redis.url, CHANNEL)
        async with watching(writer, every=3600, news=told), watching(reader.chain, every=3600, news=heard):
            for each in headers[1:5]:
                await writer.extend(each.to_bytes())
                await reader.until(writer.tip.hash)
            redis.kill()
            for each in headers[5:]:
                await writer.extend(each.to_bytes())
            assert reader.chain.tip.height == 4
            redis.start()
            await reader.until(writer.tip.hash)
            for each in fork[8:]:
                await writer.extend(each.to_bytes())
            await reader.until(writer.tip.hash)
            assert reader.ids == list(range(1, 11)), "each once, in order, the reorganisation too"


async def test_whoever_may_write_both_tell_one_another_and_nobody_repeats_it(redis: OwnRedis, tmp_path: Path) -> None:
    headers = grown([GENESIS], 20)
    async with writer_and_reader("sql-postgresql", tmp_path) as (first, reader):
        second = reader.chain
        messages: list[bytes] = []
        async with (
            RedisNews.open(redis.url, CHANNEL)._redis.pubsub() as listening,
            watching(first, every=3600, news=RedisNews.open(redis.url, CHANNEL)),
            watching(second, every=3600, news=RedisNews.open(redis.url, CHANNEL)),
        ):
            await listening.subscribe(CHANNEL)
            other = Reader(first)
            for number, each in enumerate(headers[1:]):
                await (first if number % 2 else second).extend(each.to_bytes())
                await reader.until(bytes.fromhex(each.hash())[::-1])
                await other.until(bytes.fromhex(each.hash())[::-1])
            async with asyncio.timeout(10):
                while len(messages) < len(headers) - 1:
                    message = await listening.get_message(ignore_subscribe_messages=True, timeout=1)
                    messages += [message["data"]] if message else []
            assert len(set(messages)) == len(messages)
            assert reader.ids == list(range(1, 21))


async def test_nonsense_on_the_channel_costs_a_look_and_no_more(redis: OwnRedis, tmp_path: Path) -> None:
    async with writer_and_reader("sql-sqlite", tmp_path) as (writer, reader):
        news = RedisNews.open(redis.url, CHANNEL)
        async with (
            watching(reader.chain, every=3600, news=news),
            watching(writer, every=3600, news=RedisNews.open(redis.url, CHANNEL)),
        ):
            for nonsense in (b"", b"\xff", b"999999:" + b"0" * 64, b"x" * 100_000):
                await news._redis.publish(CHANNEL, nonsense)
            await writer.extend(grown([GENESIS], 1)[1].to_bytes())
            await reader.until(writer.tip.hash)
            assert reader.ids == [1]


def test_an_address_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="not redis://") as refused:
        RedisNews.open("http://user:secret@host", CHANNEL)
    assert "secret" not in str(refused.value)


@asynccontextmanager
async def serving(source: str, cwd: Path, interval: str, **settings: str) -> AsyncIterator[str]:
    arguments = ["--network", "mock", "--source", source, "--port", "0", "--interval", interval, "--store", "sql"]
    process = await asyncio.create_subprocess_exec(
        *SDK,
        *("chaintracks", "serve", *arguments, "--refresh", "3600"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        env={**ENVIRONMENT, **settings},
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert line.startswith("headers of mock up to 3:"), line
        yield line.split()[-1]
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
        await process.communicate()


async def test_two_servers_over_one_postgresql_show_subscribers_one_chain(redis: OwnRedis, tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(3)
    with empty_database("postgresql", tmp_path) as (url, schema):
        settings = {
            "SDK_CHAINTRACKS_DATABASE": url,
            "SDK_CHAINTRACKS_DATABASE_SCHEMA": str(schema),
            "SDK_CHAINTRACKS_FANOUT": redis.url,
        }
        async with (
            network.served() as source,
            serving(source, tmp_path, "0.1", **settings) as follows,
            serving(source, tmp_path, "3600", **settings) as learns,
            ChaintracksClient(follows) as writer,
            ChaintracksClient(learns) as reader,
            asyncio.timeout(60),
        ):
            tips: asyncio.Queue[int] = asyncio.Queue()
            events: list[int] = []

            def heard(update: HeadersUpdate | ReorgUpdate | Gap) -> None:
                assert isinstance(update, HeadersUpdate)
                tips.put_nowait(update.height)
                events.append(int(update.cursor.partition("-")[0]))

            reader.subscribe_headers(heard)
            while tips.empty():  # it hears of what comes after it is connected
                network.mine()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        tips.put_nowait(await tips.get())
            network.reorganise(2, 4)
            while await tips.get() != len(network.chain) - 1:
                pass
            redis.kill()
            for _ in range(3):
                network.mine()
                while await writer.current_height() != len(network.chain) - 1:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.02)
            assert tips.empty(), "it looks by itself only once an hour here"
            redis.start()
            while await tips.get() != len(network.chain) - 1:
                pass
            assert events == [*range(events[0], events[0] + len(events))], "each once, in order"
            assert await reader.headers(0, 100) == await writer.headers(0, 100) == network.chain
