"""Looks at a source again and again. Nothing it does ends the loop; one that fails is asked ever less often."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from sdk.core.errors import SdkError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.sources import HeaderSource, RunSource

log = get_logger(__name__)


class SourceLoop(ABC):
    """One source. Times in seconds; ``clock`` is monotonic.

    ``current_at`` is when our chain last had its best block, ``last_error`` why the last look failed, if it did.
    """

    def __init__(
        self,
        chain: HeaderChain,
        source: HeaderSource | RunSource,
        *,
        interval: float,
        max_backoff: float,
        clock: Callable[[], float],
    ) -> None:
        self.chain = chain
        self.source: HeaderSource | RunSource = source
        self._interval, self._max_backoff, self._clock = interval, max_backoff, clock
        self.current_at: float | None = None
        self.failures = 0
        self.last_error: str | None = None

    async def follow(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        while not stop.is_set():
            await self.rest(await self.step(), stop)

    async def rest(self, delay: float, stop: asyncio.Event) -> None:
        """Wait for ``delay`` seconds, or until ``stop`` is set."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await stop.wait()

    async def step(self) -> float:
        """Look once; the seconds to wait before the next look."""
        try:
            await self.synchronise()
        except SdkError as error:
            self._failed(f"{error}")
        except Exception as error:
            log.exception("following a source failed unexpectedly", source=self.source.name)
            self._failed(f"unexpected {type(error).__name__}")
        else:
            self.failures, self.last_error = 0, None
            self.current_at = self._clock()
            return self._interval
        return float(min(self._max_backoff, self._interval * 2 ** min(self.failures, 16)))

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self.last_error = reason
        log.warning("source failed", source=self.source.name, failures=self.failures, reason=reason)

    @abstractmethod
    async def synchronise(self) -> None:
        """Take over everything the source has. Raises ``SourceError``, ``StorageError`` and the like."""
