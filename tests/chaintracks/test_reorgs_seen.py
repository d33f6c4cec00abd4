"""What subscribers are told, whatever happens: over any interleaving of blocks, reorganisations, ties, late headers,
servers that stop and start again, and clients that go to another server, each is told each change once, in order."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sdk.chaintracks.client.checks import HeaderChecks
from sdk.chaintracks.client.endpoint import Endpoint
from sdk.chaintracks.client.stream import UpdateStream
from sdk.chaintracks.client.updates import HeadersUpdate, ReorgUpdate
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.errors import UnknownParent
from sdk.chaintracks.server import ChaintracksServer, ServerOptions
from sdk.chaintracks.shared.watch import watching
from sdk.service.database import Database
from support.header_rig import GENESIS, grown, raw
from support.header_server import FREE, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.header import BlockHeader

OPTIONS = ServerOptions(drain=0.05)


class Told:
    """What one subscriber has made of what it was told."""

    def __init__(self) -> None:
        self.path: dict[int, str] = {}
        self.tips: list[str] = []
        self.reorgs: list[tuple[list[str], str]] = []

    async def follow(self, stream: UpdateStream) -> None:
        async for update in stream:
            if isinstance(update, HeadersUpdate):
                gone = [height for height in self.path if height >= update.first]
                assert update.net or not self.tips or len(gone) == update.removed
                for height in gone:
                    del self.path[height]
                start = update.height + 1 - len(update.headers)
                self.path |= {start + at: header.hash() for at, header in enumerate(update.headers)}
                self.tips.append(update.tip.hash())
            else:
                assert isinstance(update, ReorgUpdate), update
                assert update.depth == len(update.deactivated)
                gone_hashes = [header.hash() for _, header in update.deactivated]
                self.reorgs.append((gone_hashes, update.new_tip[1].hash()))


class Reader:
    """Reads a stream of server-sent events, and comes back with the id of the last one, to one server or the other."""

    def __init__(self, urls: Sequence[str], path: str, cursor: str) -> None:
        self._urls, self._path, self._last = urls, path, cursor
        self.told: list[dict[str, Any]] = []

    async def follow(self) -> None:
        async with aiohttp.ClientSession() as session:
            attempt = 0
            while True:
                attempt += 1
                with suppress(aiohttp.ClientError, ConnectionError):
                    url, headers = self._urls[attempt % len(self._urls)] + self._path, {"Last-Event-ID": self._last}
                    async with session.get(url, headers=headers, timeout=None) as answer:
                        await self._read(answer)
                await asyncio.sleep(0.01)

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        found: dict[str, str] = {}
        while line := (await answer.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line != "\n":
                found[name] = value
                continue
            assert "event" not in found, "a gap"
            if "data" in found:
                self._last = found["id"]
                self.told.append(json.loads(found["data"]))
            found = {}


class World:
    """Two servers over one database. ``tips`` and ``reorgs`` are what every subscriber must have been told."""

    def __init__(self, folder: str) -> None:
        self._folder, self._number = folder, 0
        self.chain = [GENESIS]
        self.tips: list[str] = []
        self.reorgs: list[tuple[list[str], str]] = []
        self._running: dict[int, tuple[Chaintracks, AsyncExitStack]] = {}
        self._ports = [_free_port(), _free_port()]
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]

    async def start(self, which: int) -> None:
        stack = AsyncExitStack()
        database = await stack.enter_async_context(await Database.open(f"sqlite:///{self._folder}/h.sqlite"))
        service = await Chaintracks.open("mock", database, [])
        server = ChaintracksServer(service, limits=FREE, options=OPTIONS)
        await server.start(port=self._ports[which])
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(watching(service.chain, every=0.01))
        self._running[which] = service, stack

    async def stop(self, which: int) -> None:
        found = self._running.pop(which, None)
        if found is not None:
            await found[1].aclose()

    async def close(self) -> None:
        for which in [*self._running]:
            await self.stop(which)

    def salt(self) -> str:
        self._number += 1
        return str(self._number)

    async def write(self, headers: Sequence[BlockHeader]) -> None:
        service, _ = self._running[self._number % 2 if self._number % 2 in self._running else next(iter(self._running))]
        await service.chain.extend(raw(headers))

    # steps

    async def grow(self, count: int) -> None:
        for _ in range(count):
            self.chain = grown(self.chain, 1, salt=self.salt())
            await self.write(self.chain[-1:])
            self.tips.append(self.chain[-1].hash())

    async def reorganise(self, depth: int) -> None:
        depth = min(depth, len(self.chain) - 1)
        if not depth:
            return
        gone = [each.hash() for each in self.chain[: -depth - 1 : -1]]
        self.chain = grown(self.chain[:-depth], depth + 1, salt=self.salt())
        await self.write(self.chain[-depth - 1 :])
        self.tips.append(self.chain[-1].hash())
        self.reorgs.append((gone, self.chain[-1].hash()))

    async def tie(self, depth: int) -> None:
        """As much work as ours, later: ours stays."""
        depth = min(depth, len(self.chain) - 1)
        if depth:
            await self.write(grown(self.chain[:-depth], depth, salt=self.salt())[-depth:])

    async def late(self, count: int) -> None:
        """The last header comes first, and its parents after it."""
        start = len(self.chain)
        longer = grown(self.chain, count, salt=self.salt())
        for each in reversed(longer[start + 1 :]):
            with pytest.raises(UnknownParent):
                await self.write([each])
        for each in longer[start:]:
            await self.write([each])
            self.tips.append(each.hash())
        self.chain = longer

    async def restart(self, which: int) -> None:
        await self.stop(which)
        await self.start(which)

    async def leave(self, which: int) -> None:
        """Down until it is restarted; the other one serves."""
        if 1 - which not in self._running:
            await self.start(1 - which)
        await self.stop(which)

    async def agree(self) -> None:
        """The stores of both, and one that is opened now."""
        for which in (0, 1):
            await self.restart(which)
            service, _ = self._running[which]
            await service.chain.refresh()
            assert await service.chain.headers(0, 1000) == raw(self.chain)
            for at, each in enumerate(self.chain):
                assert await service.chain.find(bytes.fromhex(each.hash())[::-1]) == (at, each.to_bytes())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


STEP = st.one_of(
    st.tuples(st.just("grow"), st.integers(1, 3)),
    st.tuples(st.just("reorganise"), st.integers(1, 5)),
    st.tuples(st.just("tie"), st.integers(1, 4)),
    st.tuples(st.just("late"), st.integers(2, 3)),
    st.tuples(st.just("restart"), st.integers(0, 1)),
    st.tuples(st.just("leave"), st.integers(0, 1)),
)


@given(steps=st.lists(STEP, min_size=4, max_size=14))
@settings(max_examples=8, deadline=None, phases=[Phase.generate])  # a failure takes long: none is made smaller
def test_every_subscriber_is_told_every_change_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder), steps))


async def scenario(folder: Path, steps: list[tuple[str, int]]) -> None:
    world = World(str(folder))
    await world.start(0)
    await world.start(1)
    begin = f"0-{GENESIS.hash()}"
    streams, sockets, tasks = [], [Told() for _ in range(4)], []
    for at, told in enumerate(sockets):
        urls = world.urls[::-1] if at % 2 else world.urls
        topic: Any = "headers" if at < 2 else "reorgs"
        checks = HeaderChecks("test")
        servers = [Endpoint(each, checks) for each in urls]
        streams.append(UpdateStream(servers, topic, checks, cursor=begin, shortest=0.01))
        tasks.append(asyncio.create_task(told.follow(streams[-1])))
    readers = [Reader(world.urls, path, begin) for path in ("/v2/tip/stream", "/v2/reorg/stream")]
    tasks += [asyncio.create_task(each.follow()) for each in readers]
    try:
        for name, argument in steps:
            await getattr(world, name)(argument)
        await world.agree()
        await world.grow(1)
        await world.reorganise(2)

        def all_told() -> bool:
            for each in tasks:
                if each.done():
                    each.result()
            ends = [*(each.tips[-1:] for each in sockets[:2]), [each["hash"] for each in readers[0].told[-1:]]]
            last = [*(each.reorgs[-1:] for each in sockets[2:])]
            return all(each == world.tips[-1:] for each in ends) and all(each == world.reorgs[-1:] for each in last)

        await until(all_told)
        await until(lambda: len(readers[1].told) >= len(world.reorgs))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
        await world.close()
    chain = {height: each.hash() for height, each in enumerate(world.chain)}
    for each in sockets[:2]:
        assert each.tips == world.tips
        assert each.path == {height: hash_ for height, hash_ in chain.items() if height}
    for each in sockets[2:]:
        assert each.reorgs == world.reorgs
    assert [each["hash"] for each in readers[0].told] == world.tips
    found = [([gone["hash"] for gone in each["deactivated"]], each["newTip"]["hash"]) for each in readers[1].told]
    assert found == world.reorgs
