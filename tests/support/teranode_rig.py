"""Real members of a Teranode message bus (tests/peers/go), and services of ours that follow them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.sources.teranode.bridge import BusBridge
from sdk.chaintracks.sources.teranode.data_hub import DataHubs
from sdk.chaintracks.sources.teranode.source import TeranodeSource, topic_of
from sdk.chaintracks.sources.teranode.task import BusTask
from sdk.core.chain import MOCK
from sdk.service.database import Database
from support.header_rig import raw
from support.peers import Peer
from support.requirements import ROOT, go_peer, teranode_python

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from sdk.core.header import BlockHeader

TOPIC = topic_of("mock")
LENT = ":".join(str(ROOT / "packages" / f"sdk-{name}" / "src") for name in ("core", "service", "chaintracks"))
"""``PYTHONPATH`` for the environment that has libp2p and nothing of ours."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes are about to do; fails after a minute."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass
class Member:
    """One peer; ``address`` is its multiaddress, ``hub`` the URL of its DataHub, ``chain`` what that serves."""

    process: Peer
    address: str
    id: str
    hub: str
    chain: Sequence[BlockHeader] = ()

    async def call(self, op: str, **request: Any) -> Any:
        return await asyncio.to_thread(self.process.call, op, **request)

    async def show(self, chain: Sequence[BlockHeader]) -> None:
        self.chain = chain
        await self.call("chain", headers=raw(chain).hex())

    def message(self, header: BlockHeader, height: int, **other: Any) -> str:
        """What Teranode writes about a block."""
        members = {
            "PeerID": self.id,
            "ClientName": "teranode",
            "DataHubURL": self.hub,
            "Hash": header.hash(),
            "Height": height,
            "Header": header.to_bytes().hex(),
            "Coinbase": "00" * 120,
        }
        return json.dumps(members | other)

    async def announce(self, **other: Any) -> None:
        """The tip of ``chain``."""
        await self.call("publish", messages=[self.message(self.chain[-1], len(self.chain) - 1, **other)])

    async def members(self) -> list[str]:
        """Ids of the peers it has on the topic."""
        found: list[str] = (await self.call("state"))["members"]
        return found

    async def until_joined(self) -> None:
        """Until somebody else is on the topic."""
        async with asyncio.timeout(60):
            while not await self.members():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def asked(self) -> int:
        """How often its DataHub was."""
        return len((await self.call("state"))["asked"] or ())


@asynccontextmanager
async def members(count: int = 1, *, topic: str = TOPIC) -> AsyncIterator[list[Member]]:
    """Peers that do not know one another."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            process = stack.enter_context(Peer([go_peer()]))
            begun = await asyncio.to_thread(process.call, "start", topic=topic)
            found.append(Member(process, begun["peer"], begun["id"], begun["hub"]))
        yield found


@dataclass
class Followed:
    service: Chaintracks
    source: TeranodeSource
    bus: BusBridge

    @property
    def height(self) -> int:
        return self.service.chain.tip.height

    async def reaches(self, chain: Sequence[BlockHeader]) -> None:
        tip = bytes.fromhex(chain[-1].hash())[::-1]
        await until(lambda: self.service.chain.tip.hash == tip)


def bus_of(folder: Path, addresses: Sequence[str]) -> BusBridge:
    """Not begun; its identity is kept in ``folder``."""
    task = BusTask(TOPIC, MOCK.pow_limit, tuple(addresses), str(folder / "bus.key"))
    return BusBridge(task, python=teranode_python(), environ={"PYTHONPATH": LENT})


@asynccontextmanager
async def following(
    folder: Path, peers: Sequence[Member], *, pages: DataHubs | None = None, hubs: Sequence[str] = (), **options: Any
) -> AsyncIterator[Followed]:
    """A service that follows the bus through ``peers``, and is connected to all of them."""
    bus = bus_of(folder, [each.address for each in peers])
    source = TeranodeSource(
        bus, Rules.of(MOCK), hubs=hubs, pages=pages or DataHubs(trusted=hubs, allow_private=True), **options
    )
    async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        service = await Chaintracks.open("mock", database, [source], interval=0.2)
        try:
            await service.start()
            await until(lambda: len(source.peers) == len(peers))
            yield Followed(service, source, bus)
        finally:
            await service.stop()
