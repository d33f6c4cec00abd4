"""A header service in one object: the chain, and the sources it follows."""

from __future__ import annotations

import asyncio
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


class Chaintracks:
    """``start`` begins to follow every source on its own; ``sync`` looks once, now. Times in seconds.

    It counts as current while some source has confirmed, within ``stale_after``, that we have its best block, and our
    chain has the work the network is known to have.
    """

    def __init__(
        self,
        chain: HeaderChain,
        sources: Sequence[HeaderSource | RunSource],
        *,
        interval: float = 10.0,
        max_backoff: float = 300.0,
        stale_after: float = 900.0,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Clock = system_clock,
    ) -> None:
        self.chain, self.clock = chain, clock
        self._monotonic, self._stale_after = monotonic, stale_after
        self.followers = [
            _follower(source)(chain, source, interval=interval, max_backoff=max_backoff, clock=monotonic, now=clock)
            for source in sources
        ]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

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
        for each in self.followers:
            self._tasks.append(asyncio.create_task(each.follow(self._stop), name=f"follow {each.source.name}"))

    async def sync(self) -> None:
        """Ask every source once, now."""
        await asyncio.gather(*(each.step() for each in self.followers))

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
        reached = [each.current_at for each in self.followers if each.current_at is not None]
        if not reached:
            reasons = [f"{each.source.name}: {each.last_error or 'no answer yet'}" for each in self.followers]
            return f"not synchronised yet ({'; '.join(reasons) or 'no source is configured'})"
        age = self._monotonic() - max(reached)
        if age > self._stale_after:
            return f"no source has confirmed the tip for {age:.0f} s"
        if self.chain.tip.work < self.chain.rules.minimum_work:
            name = self.chain.rules.chain
            return f"at height {self.chain.tip.height} the chain has less work than {name} is known to have"
        return None


def _follower(source: HeaderSource | RunSource) -> type[SourceLoop]:
    return RunFollower if isinstance(source, RunSource) else Follower
