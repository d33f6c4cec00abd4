"""Looks at a source again and again. Nothing it does ends the loop; one that fails is asked ever less often."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sdk.chaintracks.errors import SourceError, SourceLied
from sdk.chaintracks.sources import Announcing, RunSource
from sdk.core.errors import SdkError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.sources import HeaderSource
    from sdk.core.ports import Clock

log = get_logger(__name__)


QUARANTINE: Final = 3600.0
"""Seconds for which a source that lied is left alone."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source fares. ``last_height`` is the height of the best block it had when it was last here in full, at
    ``last_seen``; ``claimed`` that of the best it says it has. ``tells`` says whether it knows the network's tip."""

    name: str
    state: Literal["ok", "backing_off", "quarantined"]
    last_error: str | None
    last_height: int | None
    last_seen: datetime | None
    claimed: int | None
    tells: bool


class SourceLoop(ABC):
    """One source. Times in seconds; ``clock`` is monotonic.

    ``current_at`` is when our chain last had its best block, ``last_error`` why the last look failed, if it did,
    ``claimed`` the height of the best block it says it has, ``looks`` how often it was asked.
    """

    def __init__(
        self,
        chain: HeaderChain,
        source: HeaderSource | RunSource,
        *,
        interval: float,
        max_backoff: float,
        clock: Callable[[], float],
        now: Clock,
        quarantine: float = QUARANTINE,
    ) -> None:
        self.chain = chain
        self.source: HeaderSource | RunSource = source
        self._interval, self._max_backoff, self._clock = interval, max_backoff, clock
        self._now, self._quarantine = now, quarantine
        self.current_at: float | None = None
        self.failures = 0
        self.last_error: str | None = None
        self.lied = False
        self.last_height: int | None = None
        self.claimed: int | None = None
        self.looks = 0
        self.last_seen: datetime | None = None

    @property
    def tells(self) -> bool:
        """Whether the source knows what the best block of the network is."""
        return isinstance(self.source, RunSource) or self.source.live

    @property
    def status(self) -> SourceStatus:
        state: Literal["ok", "backing_off", "quarantined"] = "ok"
        if self.last_error is not None:
            state = "quarantined" if self.lied else "backing_off"
        return SourceStatus(
            self.source.name, state, self.last_error, self.last_height, self.last_seen, self.claimed, self.tells
        )

    async def follow(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        while not stop.is_set():
            await self.rest(await self.step(), stop)

    async def rest(self, delay: float, stop: asyncio.Event) -> None:
        """Wait for ``delay`` seconds, or until ``stop`` is set, or until the source has news.

        One that has failed is not asked sooner for its news than one that has not is asked anyway, and one that lied
        not at all.
        """
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
        if isinstance(self.source, Announcing) and not self.lied:
            waits.append(asyncio.create_task(self._news(self._interval if self.failures else 0.0)))
        try:
            await asyncio.wait(waits, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _news(self, pause: float) -> None:
        await asyncio.sleep(pause)
        assert isinstance(self.source, Announcing)
        await self.source.news()

    async def step(self) -> float:
        """Look once; the seconds to wait before the next look."""
        try:
            return await self._step()
        finally:
            self.looks += 1

    async def _step(self) -> float:
        try:
            height = await self.synchronise()
        except SdkError as error:
            self._failed(self._words(error))
            if isinstance(error, SourceLied):
                self.lied = True
                return self._quarantine
        except Exception as error:
            log.exception("following a source failed unexpectedly", source=self.source.name)
            self._failed(f"unexpected {type(error).__name__}")
        else:
            self.failures, self.last_error, self.lied = 0, None, False
            self.current_at, self.last_seen, self.last_height = self._clock(), self._now(), height
            return self._interval
        return float(min(self._max_backoff, self._interval * 2 ** min(self.failures, 16)))

    def _words(self, error: SdkError) -> str:
        """Without the name of the source, which stands beside it wherever it is shown."""
        if isinstance(error, SourceError) and error.source == self.source.name:
            return error.detail
        return str(error)

    def _failed(self, reason: str) -> None:
        self.failures, self.lied = self.failures + 1, False
        self.last_error = reason
        log.warning("source failed", source=self.source.name, failures=self.failures, reason=reason)

    @abstractmethod
    async def synchronise(self) -> int:
        """Take over everything the source has; the height of its best block.

        Raises ``SourceError``, ``StorageError`` and the like.
        """
