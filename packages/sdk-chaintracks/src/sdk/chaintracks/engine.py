"""A header service in one object: the chain, and the sources it follows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.follower import Follower
from sdk.chaintracks.run_follower import RunFollower
from sdk.chaintracks.sources import RunSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sdk.chaintracks.source_loop import SourceLoop, SourceStatus
    from sdk.chaintracks.sources import HeaderSource
    from sdk.core.ports import Clock
    from sdk.service.database import Database


def system_clock() -> datetime:
    return datetime.now(UTC)


HEAD_START = 15.0
"""Seconds a source has for its first look before the next one begins too."""
MAX_TIP_AGE = {"main": 24 * 3600.0, "test": 24 * 3600.0}
"""Seconds after which a tip is too old to be the network's, where miners never rest."""


class Chaintracks:
    """``start`` begins to follow every source, ``first_look`` waits until each was asked once; ``sync`` does no more
    than ask each once. Times in seconds.

    The order of ``sources`` is that of the first look: each begins when the one before has ended its own, so that the
    long way is not fetched from all of them at once, or after ``head_start``. From then on each goes its own way.

    It counts as current while some source has confirmed, within ``stale_after``, that we have its best block, our tip
    is no older than ``max_tip_age`` (None: the network's), and our chain has the work the network is known to have.
    """

    def __init__(
        self,
        chain: HeaderChain,
        sources: Sequence[HeaderSource | RunSource],
        *,
        interval: float = 10.0,
        max_backoff: float = 300.0,
        stale_after: float = 900.0,
        head_start: float = HEAD_START,
        max_tip_age: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Clock = system_clock,
    ) -> None:
        self.chain, self.clock = chain, clock
        self._monotonic, self._stale_after, self._head_start = monotonic, stale_after, head_start
        self._max_tip_age = MAX_TIP_AGE.get(chain.rules.chain) if max_tip_age is None else max_tip_age
        self.followers = [
            _follower(source)(chain, source, interval=interval, max_backoff=max_backoff, clock=monotonic, now=clock)
            for source in sources
        ]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._asked: list[asyncio.Event] = []

    @classmethod
    async def open(
        cls,
        chain: str,
        database: Database,
        sources: Sequence[HeaderSource | RunSource],
        *,
        store: str = "sql",
        folder: Path | None = None,
        clock: Clock = system_clock,
        interval: float = 10.0,
        max_backoff: float = 300.0,
        stale_after: float = 900.0,
    ) -> Chaintracks:
        """Makes or upgrades the tables. ``store`` is ``sql``, ``files`` (in ``folder``, or the next free one like it),
        ``files:FOLDER`` or another of ``sdk.chaintracks.stores``.

        ``stop`` closes the sources and the store, never the database. Raises ``ConfigurationError``, ``StorageError``,
        ``ChaintracksError``.
        """
        from sdk.chaintracks.store.migrations import MIGRATIONS
        from sdk.chaintracks.store.opening import StoreContext, open_store
        from sdk.service.migrations import upgrade

        await upgrade(database, [MIGRATIONS])
        opened = open_store(store, StoreContext(chain, database, folder))
        try:
            headers = await HeaderChain.open(chain, opened, clock=clock)
        except BaseException:
            await opened.close()
            raise
        return cls(headers, sources, interval=interval, max_backoff=max_backoff, stale_after=stale_after, clock=clock)

    async def start(self) -> None:
        self._asked = [asyncio.Event() for _ in self.followers]
        for at, each in enumerate(self.followers):
            self._tasks.append(asyncio.create_task(self._follow(at, self._asked), name=f"follow {each.source.name}"))

    async def first_look(self) -> None:
        """Until every source was asked once since ``start``, and what it had is here."""
        for each in self._asked:
            await each.wait()

    async def sync(self) -> None:
        """Ask every source once, in their order."""
        done = [asyncio.Event() for _ in self.followers]
        await asyncio.gather(*(self._look(at, done) for at in range(len(done))))

    async def _follow(self, at: int, done: list[asyncio.Event]) -> None:
        delay = await self._look(at, done)
        await self.followers[at].rest(delay, self._stop)
        await self.followers[at].follow(self._stop)

    async def _look(self, at: int, done: list[asyncio.Event]) -> float:
        """The look of one source, after that of the one before or the head starts of all before."""
        try:
            if at:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(at * self._head_start):
                        await done[at - 1].wait()
            return await self.followers[at].step()
        finally:
            done[at].set()

    async def stop(self) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for each in self.followers:
            await each.source.close()
        await self.chain.close()

    def sources_status(self) -> list[SourceStatus]:
        """How each source fares, in the order they were given."""
        return [each.status for each in self.followers]

    @property
    def is_current(self) -> bool:
        return self.fault() is None

    async def why_not_current(self) -> str | None:
        """``fault`` as a check for readiness."""
        return self.fault()

    def fault(self) -> str | None:
        """None, or why the chain shown here may not be the best one."""
        telling = [each for each in self.followers if each.tells] or self.followers
        reached = [each.current_at for each in telling if each.current_at is not None]
        if not reached:
            reasons = [f"{each.source.name}: {each.last_error or 'no answer yet'}" for each in telling]
            return f"not synchronised yet ({'; '.join(reasons) or 'no source is configured'})"
        age = self._monotonic() - max(reached)
        if age > self._stale_after:
            return f"no source has confirmed the tip for {age:.0f} s"
        old = self.clock().timestamp() - self.chain.tip.time
        if self._max_tip_age is not None and old > self._max_tip_age:
            told = f"{old / 3600:.0f} hours" if old < 48 * 3600 else f"{old / 86400:.0f} days"
            behind = f"the tip at height {self.chain.tip.height} is {told} old"
            return f"{behind}: the sources are behind, or the clock is wrong"
        if self.chain.tip.work < self.chain.rules.minimum_work:
            name = self.chain.rules.chain
            return f"at height {self.chain.tip.height} the chain has less work than {name} is known to have"
        return None


def _follower(source: HeaderSource | RunSource) -> type[SourceLoop]:
    return RunFollower if isinstance(source, RunSource) else Follower
