"""Blocks that Teranode nodes announce, as a source of headers."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.errors import SourceError, SourceLied, SourceUnavailable
from sdk.chaintracks.sources.teranode.announcement import Announcement
from sdk.chaintracks.sources.teranode.branch import fetch_branch
from sdk.chaintracks.sources.teranode.bridge import BusBridge
from sdk.chaintracks.sources.teranode.data_hub import DataHubs, UnknownBlock
from sdk.chaintracks.sources.teranode.settings import TeranodeSettings
from sdk.chaintracks.sources.teranode.task import BusTask
from sdk.core.errors import ConfigurationError
from sdk.core.header import BlockHeader
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sdk.chaintracks.sources.opening import SourceContext
    from sdk.chaintracks.sources.teranode.branch import Branch

_REST: Final = 60.0
"""Seconds for which whoever failed is left alone; authors that lied are for a day, as with nodes, hubs for an hour."""
_HUB_BAN: Final = 3600.0
_BAN: Final = 24 * 3600.0
_MAX_RESTING: Final = 2000
_MAX_WAITING: Final = 64
_MAX_HEARD: Final = 256
_ATTEMPTS: Final = 4
"""Announcements that are gone after in one look."""
_STRANGERS_TIME: Final = 60.0
_MOST_FROM_OURS: Final = 2_000_000
"""Headers on the way back from the best block of a DataHub of ours, and of a stranger's."""
_MOST_FROM_STRANGERS: Final = 50_000
_LEAST: Final = 0.5
"""Seconds between two looks because of news, however much is announced."""
_CONNECT: Final = 30.0
_PATIENCE: Final = 1800.0
"""Seconds a look waits for a first peer, and with one for a first block."""
_ADDRESS: Final = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/[^/\s]+/tcp/\d{1,5}/p2p/[1-9A-HJ-NP-Za-km-z]+")

log = get_logger(__name__)


def topic_of(network: str) -> str:
    """The topic of new blocks (spec/wallet-stack.md §6.4)."""
    return f"teranode/bitcoin/1.0.0/{network}net-block"


class TeranodeSource:
    """A ``RunSource``. An announcement whose header follows our tip is taken at once; where headers are missing in
    between, the DataHub it names is asked for them. ``hubs`` are DataHubs of our own choice: they are asked for their
    best block while no peer has announced ours.
    """

    def __init__(
        self,
        bus: BusBridge,
        rules: Rules,
        *,
        hubs: Sequence[str] = (),
        pages: DataHubs | None = None,
        least: float = _LEAST,
        connect: float = _CONNECT,
        patience: float = _PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = "teranode"
        self._bus, self._rules, self._hubs = bus, rules, tuple(hubs)
        self._pages = pages or DataHubs(trusted=self._hubs)
        self._least, self._connect, self._patience, self._monotonic = least, connect, patience, monotonic
        self._branch: Branch | None = None
        self._giver: str | None = None
        self._gave: tuple[str, str] = ("", "")  # author and DataHub of what the giver gave
        self._claimed: int | None = None
        self._served: str | None = None  # a stranger's DataHub that has served us
        self._heard: OrderedDict[bytes, int] = OrderedDict()  # blocks that were announced and held; ``lost`` then
        self._waiting: list[Announcement] = []
        self._resting: OrderedDict[str, float] = OrderedDict()
        self._looked = float("-inf")

    @classmethod
    def open(cls, location: str, context: SourceContext) -> TeranodeSource:
        """``location``: multiaddresses of peers and URLs of DataHubs, with commas between; they are added to those of
        the settings. Raises ``ConfigurationError``."""
        network = context.parameters.name
        settings = TeranodeSettings.load()
        given = [each.strip() for each in location.split(",") if each.strip()]
        hubs = [*settings.hubs.get(network, ()), *(each for each in given if each.startswith(("http://", "https://")))]
        peers = [*settings.peers.get(network, ()), *(each for each in given if each not in hubs)]
        for each in peers:
            if not _ADDRESS.fullmatch(each):
                raise ConfigurationError(f"teranode: {each!r} is no peer: write /dns4/HOST/tcp/PORT/p2p/ID (or ip4, …)")
        if not peers:
            raise ConfigurationError(
                f"teranode: no peer of {network} is named: write --source teranode:/dns4/HOST/tcp/PORT/p2p/ID, or set "
                f"{TeranodeSettings.variable('peers')}"
            )
        if settings.python is None and importlib.util.find_spec("libp2p") is None:
            raise ConfigurationError(
                "teranode needs libp2p: pip install 'sdk-chaintracks[teranode]', or name the interpreter of another"
                f" environment that has it in {TeranodeSettings.variable('python')}"
            )
        task = BusTask(
            topic=settings.topics.get(network, topic_of(network)),
            pow_limit=context.parameters.pow_limit,
            peers=tuple(dict.fromkeys(peers)),
            key_file=_key_file(settings.key_file, context.cache, network),
        )
        pages = DataHubs(trusted=hubs, allow_private=settings.allow_private)
        return cls(BusBridge(task, python=settings.python), Rules.of(context.parameters), hubs=hubs, pages=pages)

    @property
    def peers(self) -> tuple[str, ...]:
        """Ids of the peers on the topic."""
        return self._bus.connected

    @property
    def claimed(self) -> int | None:
        return self._claimed

    @property
    def giver(self) -> str | None:
        """The author of the announcement that led to the last headers, or the DataHub of ours that gave them."""
        return self._giver

    async def after(self, locator: Sequence[bytes], height: int) -> bytes:
        """The next headers on the way to a block that was announced; empty when the last one announced is ours.

        Waits for a first peer, and then for a first block. Raises ``SourceUnavailable``.
        """
        self._looked = self._monotonic()
        if (raw := self._go_on(locator[0])) is not None:
            return raw
        self._bus.begin()
        since = self._monotonic()
        while True:
            raw = await self._look(locator)
            if raw is not None:
                return raw
            connected = bool(self._bus.connected)
            left = since + (self._patience if connected else self._connect) - self._monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._bus.wait()
            except TimeoutError:
                if bool(self._bus.connected) != connected:
                    continue
                what = "no block was announced yet" if connected else f"no peer is connected ({self._bus.fault})"
                raise SourceUnavailable(self.name, what) from None

    async def refuse(self, giver: object, reason: str) -> None:
        """What ``giver`` gave breaks the rules: its author is left alone for a day, its DataHub for an hour."""
        self._end_branch()
        if giver is None or giver != self._giver:
            return
        author, hub = self._gave
        if hub:
            self._rest(hub, _HUB_BAN, reason)
        if author not in self._hubs:
            await self._ban(author, reason)

    async def news(self) -> None:
        """Return when a block was announced, or peers have come or gone."""
        await self._bus.wait()
        await asyncio.sleep(max(0.0, self._looked + self._least - self._monotonic()))

    async def close(self) -> None:
        self._end_branch()
        await self._bus.close()
        await self._pages.close()

    # inside

    def _go_on(self, last: bytes) -> bytes | None:
        """More of the branch that was begun, if ``last`` is where we are on it."""
        if self._branch is None:
            return None
        raw = self._branch.next_run() if self._branch.expects == last else b""
        if not raw:
            self._end_branch()
            return None
        return raw

    async def _look(self, locator: Sequence[bytes]) -> bytes | None:
        """Headers, nothing when there is no more than we have, None when nobody can tell."""
        known = frozenset(locator)
        fault: SourceError | None = None
        attempts = _ATTEMPTS
        while attempts and (each := self._next(locator[0])) is not None:
            if each.hash in known:
                self._remember(each.hash)
                continue
            attempts -= 1
            try:
                return await self._take(each, known)
            except SourceError as error:
                fault = error
                await self._blame(each, error)
        if fault is not None:
            raise SourceUnavailable(self.name, f"a block was announced, but {fault}")
        if self._bus.connected and self._heard.get(locator[0]) == self._bus.lost:
            return b""
        return await self._ask_hubs(known)

    def _next(self, tip: bytes) -> Announcement | None:
        """Of what was announced: what follows our tip comes first, for nobody need be asked for it; then what DataHubs
        announce that have served us. Of each author the last waits."""
        last = {each.author: each for each in (*self._waiting, *self._bus.take()) if not self._rests(each.author)}
        found = [*last.values()][-_MAX_WAITING:]
        self._waiting = sorted(found, key=lambda each: (each.previous != tip, each.hub != self._served))
        return self._waiting.pop(0) if self._waiting else None

    def _remember(self, block_hash: bytes) -> None:
        self._heard.pop(block_hash, None)
        self._heard[block_hash] = self._bus.lost
        while len(self._heard) > _MAX_HEARD:
            self._heard.popitem(last=False)

    async def _take(self, source: Announcement, known: frozenset[bytes]) -> bytes:
        if source.previous in known:
            self._gives(source, hub="")
            return source.header
        if not source.hub:
            raise SourceUnavailable(source.author, "announced a block whose parent is not known, and no DataHub")
        if self._rests(source.hub):
            raise SourceUnavailable(source.hub, "is left alone for a while")
        branch = await self._fetch(source, known)
        self._gives(source, hub=source.hub)
        if source.hub not in self._hubs:
            self._served = source.hub
        self._branch = branch
        return branch.next_run()

    async def _fetch(self, source: Announcement, known: frozenset[bytes]) -> Branch:
        """A stranger may neither keep us long nor lead us far."""
        if source.hub in self._hubs:
            return await fetch_branch(self._pages, source, known, self._rules, most=_MOST_FROM_OURS)
        try:
            async with asyncio.timeout(_STRANGERS_TIME):
                return await fetch_branch(self._pages, source, known, self._rules, most=_MOST_FROM_STRANGERS)
        except TimeoutError as error:
            raise SourceUnavailable(source.hub, f"its headers took over {_STRANGERS_TIME:.0f} s") from error

    def _gives(self, source: Announcement, *, hub: str) -> None:
        self._giver, self._gave = source.author, (source.author, hub)
        self._remember(source.hash)
        self._claimed = source.height if source.height >= 0 else self._claimed

    async def _ask_hubs(self, known: frozenset[bytes]) -> bytes | None:
        """What a DataHub of ours, or one that has served us, has beyond what is known; None when none answers."""
        for hub in [*self._hubs, *([self._served] if self._served else [])]:
            if self._rests(hub):
                continue
            try:
                header = await self._pages.best(hub)
                if not BlockHeader.from_bytes(header).meets_target(self._rules.pow_limit):
                    raise SourceLied(hub, "its best header does not prove its work")
                best = Announcement(header, -1, hub, hub)
                return b"" if best.hash in known else await self._take(best, known)
            except SourceError as error:
                self._rest(hub, _HUB_BAN if isinstance(error, SourceLied) else _REST, str(error))
        return None

    async def _blame(self, source: Announcement, error: SourceError) -> None:
        lied = isinstance(error, SourceLied)
        if error.source == source.hub and not isinstance(error, UnknownBlock):
            self._rest(source.hub, _HUB_BAN if lied else _REST, str(error))
        if lied:
            await self._ban(source.author, str(error))
        else:
            self._rest(source.author, _REST, str(error))

    async def _ban(self, author: str, reason: str) -> None:
        self._rest(author, _BAN, reason)
        await self._bus.ban(author)

    def _rest(self, who: str, seconds: float, reason: str) -> None:
        log.info("set aside", source=self.name, who=who, seconds=seconds, reason=reason)
        self._resting.pop(who, None)
        self._resting[who] = self._monotonic() + seconds
        while len(self._resting) > _MAX_RESTING:
            self._resting.popitem(last=False)

    def _rests(self, who: str) -> bool:
        return self._resting.get(who, float("-inf")) > self._monotonic()

    def _end_branch(self) -> None:
        branch, self._branch = self._branch, None
        if branch is not None:
            branch.close()


def _key_file(named: Path | None, cache: Path | None, network: str) -> str | None:
    if named is not None:
        return str(named)
    return None if cache is None else str(cache.with_name(f"teranode-{network}.key"))
