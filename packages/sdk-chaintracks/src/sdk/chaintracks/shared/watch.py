"""Keeps a chain up with what other processes write to its store.

The log of events in the store is the truth; whatever tells of news only says that it is time to look. So news that is
lost, late, repeated or invented costs time, never an event: ``HeaderChain.refresh`` takes over what is missing, once
and in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from sdk.chaintracks.consensus.fields import display
from sdk.core.errors import SdkError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.events import TipEvent

log = get_logger(__name__)


class News(Protocol):
    """Carries tokens between processes. Best effort; raises nothing of its own."""

    async def listen(self, heard: Callable[[str | None], None]) -> None:
        """Call ``heard(token)`` for what is told, and ``heard(None)`` whenever something may have been missed."""
        ...

    def tell(self, token: str) -> None:
        """Must not block. Of tokens that wait only the newest has to be sent."""
        ...

    async def close(self) -> None: ...


class StoreWatch:
    """``follow`` looks at the store every ``every`` seconds, and at once when there is news."""

    def __init__(self, chain: HeaderChain, *, every: float, news: News | None = None) -> None:
        self._chain, self._every, self._news = chain, every, news
        self._wake = asyncio.Event()
        self._known: deque[str] = deque(maxlen=64)  # events that were heard of or told; nobody has to tell them again
        self.failure: str | None = None
        """Why the last look failed, if it did."""

    async def follow(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._news is not None:
                self._chain.listeners.append(self._tell)
                group.create_task(self._news.listen(self._hear))
            group.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        while True:
            self._wake.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()

    async def _look(self) -> None:
        try:
            await self._chain.refresh()
        except SdkError as error:  # the database is away: it is looked for again, and readiness says so
            if self.failure is None:
                log.warning("the store cannot be read", reason=str(error))
            self.failure = str(error)
        else:
            self.failure = None

    def _hear(self, token: str | None) -> None:
        if token is None or token not in self._known:
            self._wake.set()
        if token is not None:
            self._known.append(token)

    def _tell(self, event: TipEvent) -> None:
        token = f"{event.id}:{display(event.tip.hash)}"
        if self._news is not None and token not in self._known:
            self._known.append(token)
            self._news.tell(token)


@asynccontextmanager
async def watching(chain: HeaderChain, *, every: float, news: News | None = None) -> AsyncIterator[StoreWatch]:
    """Follow the store while the block runs."""
    watch = StoreWatch(chain, every=every, news=news)
    task = asyncio.create_task(watch.follow(), name="follow the store")
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if news is not None:
            await news.close()
