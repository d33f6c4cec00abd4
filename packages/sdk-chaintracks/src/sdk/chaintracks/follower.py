"""Follows one source: asks what its tip is, finds where its chain leaves ours, and fetches what we lack.

A source decides nothing. What it sends is checked; what fails the check is refused as a whole; a source that fails is
asked again later, each time after a longer wait. Nothing it does ends the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash
from sdk.chaintracks.errors import InvalidHeader, SourceLied, SourceUnavailable, UnknownParent
from sdk.core.errors import SdkError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.errors import SourceError
    from sdk.chaintracks.sources import HeaderSource, SourceTip

CHUNK = 2000
"""Headers that are fetched, checked and stored at a time while the chain only grows."""
MAX_BRANCH = 50_000
"""Headers of a branch that are held until all of it can be compared with ours."""

log = get_logger(__name__)


class Follower:
    """One source. Times in seconds; ``clock`` is monotonic.

    ``current_at`` is when our chain last had its best block, ``last_error`` why the last look failed, if it did.
    """

    def __init__(
        self,
        chain: HeaderChain,
        source: HeaderSource,
        *,
        interval: float,
        max_backoff: float,
        clock: Callable[[], float],
    ) -> None:
        self.chain, self.source = chain, source
        self._interval, self._max_backoff, self._clock = interval, max_backoff, clock
        self.current_at: float | None = None
        self.failures = 0
        self.last_error: str | None = None

    async def follow(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        while not stop.is_set():
            delay = await self.step()
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

    async def synchronise(self) -> None:
        """Take over everything the source has. Raises ``SourceError``, ``StorageError`` and the like."""
        tip = await self.source.tip()
        if tip.hash in self.chain.tree:
            return
        fork = await self._fork(tip)
        if fork < self.chain.tip.height:
            await self._take_branch(fork + 1, tip)
        else:
            for first in range(fork + 1, tip.height + 1, CHUNK):
                await self._take(await self._fetch(first, min(first + CHUNK - 1, tip.height)))

    async def _fork(self, tip: SourceTip) -> int:
        """A height at which the source has our block, and above which it may not; steps back in doubling strides."""
        height, stride = min(self.chain.tip.height, tip.height), 1
        while True:
            theirs = await self._fetch(height, height)
            if header_hash(theirs) == await self.chain.hash_at(height):
                return height
            if height == 0:
                raise SourceLied(
                    self.source.name, f"it follows another network: its first block is not {self._genesis}"
                )
            height, stride = max(0, height - stride), stride * 2

    @property
    def _genesis(self) -> str:
        return display(header_hash(self.chain.rules.genesis))

    async def _take_branch(self, first: int, tip: SourceTip) -> None:
        """A branch counts by its whole work, so it is fetched whole before it is offered."""
        if tip.height - first >= MAX_BRANCH:
            raise SourceLied(self.source.name, f"its chain leaves ours at height {first}, too far below {tip.height}")
        parts = [await self._fetch(at, min(at + CHUNK - 1, tip.height)) for at in range(first, tip.height + 1, CHUNK)]
        await self._take(b"".join(parts))

    async def _fetch(self, first: int, last: int) -> bytes:
        raw = await self.source.headers(first, last)
        if len(raw) != (last - first + 1) * HEADER:
            raise SourceUnavailable(self.source.name, f"sent {len(raw)} bytes for headers {first}-{last}")
        return raw

    async def _take(self, raw: bytes) -> None:
        try:
            await self.chain.extend(raw)
        except UnknownParent as error:
            raise SourceUnavailable(self.source.name, f"its chain changed while it was read: {error}") from error
        except InvalidHeader as error:
            kind: type[SourceError] = SourceLied
            if error.temporary or error.rule == "prev-blk-not-found":
                kind = SourceUnavailable
            raise kind(self.source.name, str(error)) from error
