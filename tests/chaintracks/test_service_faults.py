"""The header service while its database, its disk or its clock fail: no false tip, no loss, and on it goes."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import signal
import subprocess
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

from sdk.chaintracks.client import ChaintracksClient
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.chaintracks.sources.cdn import CdnSource
from sdk.chaintracks.sources.p2p import PeerSource
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.chaintracks.store.reading import FolderReader, stored_chain
from sdk.chaintracks.store.sql import SqlLive
from sdk.core.chain import MOCK
from sdk.service.database import Database
from support.commands import SDK, clean_environment
from support.databases import empty_database
from support.header_cdn import HeaderCdn
from support.header_rig import GENESIS, HeaderNetwork, grown, mined, raw
from support.header_server import until
from support.kill_points import recorded, sample
from support.peer_node import PeerNode
from support.tcp_gate import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.core.header import BlockHeader

HEADERS = grown([GENESIS], 900)


async def test_a_database_that_is_gone_and_comes_back_costs_nothing_but_time(tmp_path: Path) -> None:
    network = HeaderNetwork(HEADERS[:150])
    with empty_database("postgresql", tmp_path) as (url, schema):
        place = urlsplit(url)
        async with Gate(place.hostname or "127.0.0.1", place.port or 5432).served() as gate, network.served() as source:
            through = url.replace(f":{place.port}", f":{gate.port}").replace(str(place.hostname), "127.0.0.1")
            async with await Database.open(through, schema=schema, timeout=2) as database:
                store = f"files:{tmp_path}/headers"
                service = await Chaintracks.open(
                    "mock", database, [WhatsOnChainSource(source)], store=store, interval=0.05, max_backoff=0.1
                )
                server = ChaintracksServer(service)
                at = await server.start()
                async with ChaintracksClient(at) as client, aiohttp.ClientSession() as session:
                    await until(lambda: service.chain.tip.height == 149)
                    heard: list[int] = []
                    service.chain.listeners.append(lambda event: heard.append(event.tip.height))
                    gate.close()
                    network.mine(3)
                    await until(lambda: service.followers[0].failures > 1)
                    assert service.chain.tip.height == 149  # never shown before it is durable
                    assert await client.headers(0, 1000) == HEADERS[:150]  # what is there is served meanwhile
                    async with session.get(f"{at}/readyz") as answer:
                        assert answer.status == 503
                        assert "database" in await answer.text()
                    network.reorganise(5, 7)
                    gate.open()
                    await until(lambda: service.chain.tip.height == len(network.chain) - 1)
                    assert await service.chain.headers(0, 1000) == raw(network.chain)
                    await until(lambda: service.is_current)
                    async with session.get(f"{at}/readyz") as answer:
                        assert answer.status == 200
                    assert heard == sorted(heard)
                await server.stop()
        async with await Database.open(url, schema=schema) as database:
            held = [each.raw async for each in stored_chain(SqlLive(database), tmp_path / "headers", "mock")]
            assert b"".join(held) == raw(network.chain)


@pytest.mark.parametrize("kind", ["by height", "by run"])
async def test_a_clock_that_is_behind_holds_new_headers_back_and_blames_nobody(tmp_path: Path, kind: str) -> None:
    network, node = HeaderNetwork(HEADERS[:300]), PeerNode()
    node.set_chain(HEADERS[:300])
    right = datetime.fromtimestamp(HEADERS[299].time, UTC)
    now = right - timedelta(days=1)
    async with (
        network.served() as url,
        node.served(),
        await Database.open(f"sqlite:///{tmp_path}/h.sqlite") as database,
    ):
        source = WhatsOnChainSource(url) if kind == "by height" else PeerSource(MOCK, [node.address], rest=0.0)
        service = await Chaintracks.open("mock", database, [source], clock=lambda: now)
        for _ in range(2):
            await service.sync()
            assert not service.is_current
            status = service.sources_status()[0]
            assert status.state == "backing_off"
            assert "if the clock here is right" in str(status.last_error)
            assert service.chain.tip.height > 100
            assert HEADERS[service.chain.tip.height].time <= now.timestamp() + 7200
        now = right
        await service.sync()
        assert await service.chain.headers(0, 1000) == raw(HEADERS[:300])
        assert service.is_current
        await service.stop()


async def test_a_clock_that_is_ahead_takes_no_header_that_is_too_new_for_others_as_a_lie(tmp_path: Path) -> None:
    """What a wrong clock let in stays valid for it; the tip of the others wins by work."""
    early = mined(HEADERS[9], time=HEADERS[9].time + 86_400)
    network = HeaderNetwork([*HEADERS[:10], early])
    now = datetime.fromtimestamp(HEADERS[9].time + 86_400, UTC)
    async with network.served() as url, await Database.open(f"sqlite:///{tmp_path}/h.sqlite") as database:
        service = await Chaintracks.open(
            "mock", database, [WhatsOnChainSource(url)], clock=lambda: now + timedelta(days=2)
        )
        await service.sync()
        assert service.chain.tip.height == 10
        network.chain = HEADERS[:14]
        await service.sync()
        assert await service.chain.headers(0, 100) == raw(HEADERS[:14])
        service._max_tip_age = 24 * 3600.0
        assert "the clock is wrong" in str(service.fault())
        await service.stop()


@asynccontextmanager
async def process(
    folder: Path, *args: str, wait: bool = True, **environ: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    found = await asyncio.create_subprocess_exec(
        str(SDK), "chaintracks", *args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
        env=clean_environment(**environ),
    )  # fmt: skip
    try:
        assert found.stdout is not None
        line = (await asyncio.wait_for(found.stdout.readline(), 60)).decode() if wait else ""
        yield found, line.split()[-1] if line else ""
    finally:
        if found.returncode is None:
            found.terminate()
        await asyncio.wait_for(found.wait(), 30)


async def test_a_full_disk_stops_the_tip_and_not_the_service_which_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """The kernel refuses to let any file grow beyond a limit, which is then lifted. Reason for its time: a process."""
    long = grown(HEADERS, 3600)
    cdn = HeaderCdn.of(long[:3000])
    async with cdn.served() as url:
        args = (
            "serve", "--network", "mock", "--source", f"cdn:{url}", "--port", "0", "--interval", "0.1",
            "--database", "sqlite:///h.sqlite",
        )  # fmt: skip
        async with process(tmp_path, *args) as (service, at), aiohttp.ClientSession() as session:

            async def height() -> int:
                async with session.get(f"{at}/v2/tip/header") as answer:
                    return int((await answer.json())["value"]["height"])

            async def ready() -> tuple[int, str]:
                async with session.get(f"{at}/readyz") as answer:
                    return answer.status, await answer.text()

            async def until_so(wanted: int) -> None:
                async with asyncio.timeout(60):
                    while (await ready())[0] != wanted:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.05)

            await until_so(200)
            assert await height() == 2999
            size = (tmp_path / "h-headers" / "mockNet_0.headers").stat().st_size
            assert size == 3000 * 80
            resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (size + 8000, resource.RLIM_INFINITY))
            fresh = HeaderCdn.of(long)
            cdn.index, cdn.files = fresh.index, fresh.files
            async with asyncio.timeout(60):
                while True:
                    async with session.get(f"{at}/metrics") as answer:
                        await answer.read()
                    async with session.get(f"{at}/v2/status") as answer:
                        text = await answer.text()
                    if "too large" in text or "cannot be written" in text:
                        break
                    await asyncio.sleep(0.05)
            assert await height() == 2999
            async with session.get(f"{at}/v2/headers.bin?height=0&count=3000") as answer:
                assert await answer.read() == raw(long[:3000])
            resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            async with asyncio.timeout(60):
                while await height() != len(long) - 1:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
        assert service.returncode == 0
    reader = FolderReader(tmp_path / "h-headers", "mock")
    assert b"".join(each.raw for each in reader.stretches(0, bytes(32))) == raw(long)


async def test_killed_anywhere_on_its_way_a_sync_goes_on_from_what_it_had(tmp_path: Path) -> None:
    """Reason for its time: a process for each place at which one is killed."""
    cdn = tmp_path / "cdn"
    cdn.mkdir()
    chains = (HEADERS[:401], grown(HEADERS[:300], 350, salt="deep"))

    def publish(chain: list[BlockHeader]) -> None:
        found = HeaderCdn.of(chain)
        (cdn / "mockNetBlockHeaders.json").write_text(json.dumps(found.index))
        for name, content in found.files.items():
            (cdn / name).write_bytes(content)

    async def sync(home: Path, plan: str) -> int:
        environ = {"SDK_FAILPOINTS": plan, "SDK_FAILPOINTS_FILTER": "commit|chaintracks"}
        args = ("sync", "--network", "mock", "--source", f"cdn:{cdn}", "--database", f"sqlite:///{home}/h.sqlite")
        async with process(home, *args, wait=False, **environ) as (found, _):
            return await asyncio.wait_for(found.wait(), 60)

    async def started(home: Path, shown: list[BlockHeader]) -> None:
        """A start finds a prefix of one of the two chains, and goes on to ``shown``."""
        async with await Database.open(f"sqlite:///{home}/h.sqlite") as database:
            service = await Chaintracks.open(
                "mock", database, [CdnSource(str(cdn), "mock")], store=f"files:{home}/h-headers"
            )
            found = await service.chain.headers(0, 1000)
            assert any(raw(each).startswith(found) for each in chains)
            assert shown is chains[0] or len(found) >= 300 * 80  # what both share was never in doubt
            await service.sync()
            assert await service.chain.headers(0, 1000) == raw(shown)
            await service.stop()

    home = tmp_path / "0"
    home.mkdir()
    for stage, chain in enumerate(chains):
        publish(chain)
        template = tmp_path / f"template.{stage}"
        shutil.copytree(home, template)
        assert await sync(home, f"record:{tmp_path}/points.{stage}") == 0
        points = recorded(tmp_path / f"points.{stage}")
        assert len(points) > 3
        for number, _ in sample(points, max(1, len(points) // 2)):
            place = tmp_path / f"{stage}.{number}"
            shutil.copytree(template, place)
            assert await sync(place, f"kill:{number}") == -signal.SIGKILL
            await started(place, chain)


@pytest.mark.parametrize("name", ["committed", "index", "mockNet_0.headers"])
async def test_a_file_cut_at_any_byte_is_mended_by_the_next_start(tmp_path: Path, name: str) -> None:
    network = HeaderNetwork(HEADERS[:140])
    async with network.served() as url:

        async def started() -> bytes:
            async with await Database.open(f"sqlite:///{tmp_path}/h.sqlite") as database:
                service = await Chaintracks.open(
                    "mock", database, [WhatsOnChainSource(url)], store=f"files:{tmp_path}/headers"
                )
                await service.sync()
                found = await service.chain.headers(0, 1000)
                assert service.is_current
                await service.stop()
                return found

        assert await started() == raw(HEADERS[:140])
        path = tmp_path / "headers" / name
        whole = path.read_bytes()
        for size in sorted({0, 1, 63, 64, 65, 79, 80, 81, len(whole) // 2, len(whole) - 81, len(whole) - 1}):
            if 0 <= size < len(whole):
                with path.open("r+b") as file:
                    file.truncate(size)
                assert await started() == raw(HEADERS[:140]), size
