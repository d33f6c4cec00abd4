"""Several nodes as one source: whoever stalls or lies is left for the next."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER
from sdk.chaintracks.errors import SourceError, SourceLied, SourceUnavailable
from sdk.chaintracks.sources.p2p.messages import MAX_HEADERS
from sdk.chaintracks.sources.p2p.peer import Peer, PeerTimes
from sdk.chaintracks.sources.p2p.seeds import parse_address, resolve, spread
from sdk.core.errors import ConfigurationError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sdk.chaintracks.sources.opening import SourceContext
    from sdk.chaintracks.sources.p2p.seeds import Address
    from sdk.core.chain import ChainParameters
    from sdk.core.ports import Clock, Entropy

_REST: Final = 60.0
"""Seconds until an address that failed is tried again; one that lied is left alone for a day, as nodes do."""
_BAN: Final = 24 * 3600.0
_ROUNDS: Final = 6
"""How often others are dialled, ``want`` at a time, before a look is given up."""
_MAX_ADDRESSES: Final = 2000

log = get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class PeerSource:
    """A ``RunSource`` over up to ``want`` nodes at once. ``addresses`` are ours to choose; empty: the network's seeds.

    Raises ``ConfigurationError`` for a network that has no magic, or neither addresses nor seeds.
    """

    def __init__(
        self,
        parameters: ChainParameters,
        addresses: Sequence[Address] = (),
        *,
        want: int = 3,
        rest: float = _REST,
        times: PeerTimes | None = None,
        clock: Clock = _now,
        entropy: Entropy = os.urandom,
        monotonic: Callable[[], float] = time.monotonic,
        seeds: Callable[[ChainParameters], Awaitable[list[Address]]] = resolve,
    ) -> None:
        if len(parameters.magic) != 4:
            raise ConfigurationError(f"{parameters.name} cannot be reached over Bitcoin P2P: its magic is not known")
        if not addresses and not parameters.dns_seeds:
            raise ConfigurationError(f"{parameters.name} has no seeds: name nodes as host:port")
        self.name = "p2p"
        self._parameters, self._own, self._want, self._rest = parameters, list(addresses), want, rest
        self._times = times or PeerTimes()
        self._clock, self._entropy, self._monotonic, self._seeds = clock, entropy, monotonic, seeds
        self._known: list[Address] = []
        self._peers: dict[Address, Peer] = {}
        self._resting: dict[Address, tuple[float, str]] = {}  # until when, and why
        self._giver: Address | None = None
        self._fast: Address | None = None  # whose last answer was full
        self._news = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, location: str, context: SourceContext) -> PeerSource:
        """Nodes at ``location`` (``host:port``, several with commas between), or those the network's seeds name."""
        parameters = context.parameters
        return cls(parameters, [parse_address(each, parameters.p2p_port) for each in location.split(",") if each])

    @property
    def peers(self) -> list[str]:
        """Names of the nodes that are connected."""
        return [peer.name for peer in self._peers.values() if peer.is_alive]

    @property
    def claimed(self) -> int | None:
        return max((peer.start_height for peer in self._peers.values()), default=None)

    async def after(self, locator: Sequence[bytes], height: int) -> bytes:
        """Headers after the first hash of ``locator`` that a node knows; empty when no node has more than we.

        ``height`` is that of ``locator[0]``. Raises ``SourceUnavailable`` when no node answers.
        """
        self._news.clear()
        await self._connect(height)
        answered = False
        for address in sorted(self._peers, key=lambda each: each != self._fast):
            try:
                raw = await self._ask(address, locator, height)
            except SourceError as error:
                await self._drop(address, error)
                continue
            answered = True
            if raw:
                self._answered(address, full=len(raw) == MAX_HEADERS * HEADER)
                return raw
        if not answered:
            reasons = "; ".join(reason for _, reason in list(self._resting.values())[-3:])
            nobody = "none is known, for no DNS seed answers: name some as p2p:HOST:PORT"
            raise SourceUnavailable(self.name, f"no node answers ({reasons[:400] or nobody})")
        return b""

    @property
    def giver(self) -> Address | None:
        """The node that sent the last headers."""
        return self._giver

    async def refuse(self, giver: object, reason: str) -> None:
        """The headers of ``giver`` break the rules: leave that node, also if it is gone already."""
        for address in [each for each in (*self._peers, *self._resting) if each == giver]:
            await self._drop(address, SourceLied(self.name, reason))

    async def news(self) -> None:
        """Wait until some node announces a block, or is lost."""
        await self._news.wait()

    async def close(self) -> None:
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        peers, self._peers = self._peers, {}
        await asyncio.gather(*(peer.close() for peer in peers.values()))

    # inside

    def _answered(self, address: Address, *, full: bool) -> None:
        """Whoever sends few headers at a time waits until the others had their turn."""
        self._giver, self._fast = address, address if full else None
        if not full:
            self._peers[address] = self._peers.pop(address)

    async def _ask(self, address: Address, locator: Sequence[bytes], height: int) -> bytes:
        peer = self._peers[address]
        raw = await peer.headers_after(locator)
        if not raw and peer.start_height > height:
            raise SourceUnavailable(peer.name, f"claims height {peer.start_height} but sends no header after {height}")
        return raw

    async def _connect(self, height: int) -> None:
        """Wait for a first node; look for the others meanwhile."""
        for address in [each for each, peer in self._peers.items() if not peer.is_alive]:
            await self._drop(address, SourceUnavailable(self.name, "the connection is lost"))
        if len(self._peers) < self._want and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill(height), name="look for peers")
        if not self._peers and self._filling is not None:
            await asyncio.shield(self._filling)

    async def _fill(self, height: int) -> None:
        candidates = await self._candidates()
        for _ in range(_ROUNDS):
            lacking = self._want - len(self._peers)
            batch, candidates = candidates[:lacking], candidates[lacking:]
            await asyncio.gather(*(self._dial(each, height) for each in batch))
            if self._peers or not candidates:
                return

    async def _candidates(self) -> list[Address]:
        if not self._own and not self._known:
            found = await self._seeds(self._parameters)
            self._known = spread(sorted(found, key=lambda _: self._entropy(4))[:_MAX_ADDRESSES])
        now = self._monotonic()
        self._resting = {each: rest for each, rest in self._resting.items() if rest[0] > now}
        known = self._own or self._known
        fresh = [each for each in known if each not in self._peers and each not in self._resting]
        if not fresh and not self._peers and not self._own:
            self._known = []  # ask the seeds again next time
        return fresh

    async def _dial(self, address: Address, height: int) -> None:
        try:
            peer = await Peer.connect(
                *address,
                self._parameters.magic,
                height=height,
                clock=self._clock,
                entropy=self._entropy,
                times=self._times,
            )
        except SourceError as error:
            self._set_aside(address, error)
            return
        peer.announced = self._news.set
        self._peers[address] = peer
        log.info("peer connected", peer=peer.name, height=peer.start_height)

    async def _drop(self, address: Address, error: SourceError) -> None:
        self._set_aside(address, error)
        peer = self._peers.pop(address, None)
        if peer is not None:
            await peer.close()

    def _set_aside(self, address: Address, error: SourceError) -> None:
        lied = isinstance(error, SourceLied)
        log.info("peer set aside", peer=f"{address[0]}:{address[1]}", reason=str(error), lied=lied)
        self._resting[address] = self._monotonic() + (_BAN if lied else self._rest), str(error)
