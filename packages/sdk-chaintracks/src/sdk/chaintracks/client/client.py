"""``ChaintracksClient``: what a header service can be asked, of one server or several."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sdk.chaintracks.client.checks import HeaderChecks
from sdk.chaintracks.client.endpoint import Endpoint
from sdk.chaintracks.client.stream import POLL, UpdateStream
from sdk.core.errors import ConfigurationError, ServiceRejected, ServiceUnavailable
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from sdk.chaintracks.client.stream import Topic
    from sdk.chaintracks.client.updates import Gap, HeadersUpdate, ReorgUpdate
    from sdk.core.header import BlockHeader
    from sdk.service.http_client import HttpClient

    Listener = Callable[[HeadersUpdate | ReorgUpdate | Gap], Awaitable[None] | None]

T = TypeVar("T")
log = get_logger(__name__)


class ChaintracksClient:
    """``await destroy()`` it, or use ``async with``; nothing runs on afterwards.

    With several servers the next one is asked when one fails or lies. With ``quorum`` above 1 all are asked, and an
    answer counts when that many agree. ``chain`` (``main``, …) bounds how easy a header's target may be. Every header
    is hashed again, and its hash must prove its work. Methods raise ``ServiceUnavailable`` when nobody can tell (R52).

    Servers that tell of nothing, as the reference's ``ChaintracksService``, are looked at every ``poll`` seconds for
    whoever subscribes.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        name: str = "chaintracks",
        chain: str | None = None,
        quorum: int = 1,
        poll: float = POLL,
        http: HttpClient | None = None,
    ) -> None:
        if poll <= 0:
            raise ConfigurationError(f"servers are looked at every poll seconds, and {poll} is no such time")
        urls = [url] if isinstance(url, str) else [*url]
        for each in urls:
            if not each.startswith(("http://", "https://")):
                raise ConfigurationError(f"{each!r:.200} is no address of a header service: write http://host:port")
        if not urls or not 1 <= quorum <= len(urls):
            raise ConfigurationError(f"a quorum of {quorum} needs that many servers, at least one; {len(urls)} given")
        self.name, self._quorum, self._poll = name, quorum, poll
        self._checks = HeaderChecks(name, chain)
        self._endpoints = [Endpoint(each, self._checks, http) for each in urls]
        self._preferred = 0
        self._subscriptions: dict[str, tuple[UpdateStream, asyncio.Task[None]]] = {}
        self._streams: list[UpdateStream] = []

    # calls

    async def chain(self) -> str:
        """``main``, ``test``, …"""
        return await self._ask(Endpoint.chain)

    async def info(self) -> dict[str, Any]:
        """What the first server that answers says of itself."""
        return await self._first(Endpoint.info)

    async def current_height(self) -> int:
        """With a quorum, the highest that that many servers have reached."""
        if self._quorum == 1:
            return await self._first(Endpoint.height)
        heights, faults = await self._all(Endpoint.height)
        if len(heights) < self._quorum:
            raise self._disagree(len(heights), faults)
        return sorted(heights, reverse=True)[self._quorum - 1]

    async def tip(self) -> tuple[int, BlockHeader]:
        """Height and header of the best block."""
        if self._quorum == 1:
            return await self._first(Endpoint.tip)
        height = await self.current_height()
        header = await self.header_at(height)
        if header is None:
            raise ServiceUnavailable(self.name, f"the servers went back below height {height}")
        return height, header

    async def header_at(self, height: int) -> BlockHeader | None:
        """The header of the best chain at ``height``; None above its tip."""
        return await self._ask(lambda each: each.header_at(height))

    async def header_for(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """Height and header of a block the service knows, on its best chain or beside it."""
        return await self._ask(lambda each: each.header_for(block_hash))

    async def headers(self, first: int, count: int) -> list[BlockHeader]:
        """Up to ``count`` consecutive headers of the best chain; fewer at its tip."""
        return [*await self._ask(lambda each: _tuple(each.headers(first, count)))]

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        """Whether the block at ``height`` has merkle root ``root`` (display hex). Of a height above the tip a service
        has no verdict: ``ServiceUnavailable``."""
        header = await self.header_at(height)
        if header is None:
            raise ServiceUnavailable(self.name, f"knows no block at height {height}")
        return header.merkle_root == root.lower()

    async def add_header(self, header: BlockHeader) -> None:
        """Offer a header to every server. Raises ``ServiceRejected`` if none takes it and one says why."""
        taken, faults = await self._all(lambda each: each.add_header(header))
        if not taken:
            raise next((each for each in faults if isinstance(each, ServiceRejected)), faults[0])

    async def is_synchronized(self) -> bool:
        """Whether the service has confirmed that its tip is the network's."""
        return await self._first(Endpoint.is_ready)

    # subscriptions

    def header_updates(self, *, cursor: str | None = None) -> UpdateStream:
        """``async for`` over ``HeadersUpdate | Gap``, from now on or after ``cursor``, until ``aclose``."""
        return self._stream("headers", cursor)

    def reorg_updates(self, *, cursor: str | None = None) -> UpdateStream:
        """``async for`` over ``ReorgUpdate | Gap``."""
        return self._stream("reorgs", cursor)

    def subscribe_headers(self, listener: Listener, *, cursor: str | None = None) -> str:
        """Call ``listener`` (plain or async) with each update, one after the other; the id is for ``unsubscribe``."""
        return self._subscribe(self.header_updates(cursor=cursor), listener)

    def subscribe_reorgs(self, listener: Listener, *, cursor: str | None = None) -> str:
        return self._subscribe(self.reorg_updates(cursor=cursor), listener)

    async def unsubscribe(self, subscription: str) -> bool:
        """Whether there was such a subscription. Its listener is not called any more."""
        found = self._subscriptions.pop(subscription, None)
        if found is None:
            return False
        stream, task = found
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
        self._streams.remove(stream)
        return True

    @property
    def servers(self) -> int:
        return len(self._endpoints)

    @property
    def is_listening(self) -> bool:
        return bool(self._subscriptions)

    async def destroy(self) -> None:
        for each in [*self._subscriptions]:
            await self.unsubscribe(each)
        for stream in self._streams:
            await stream.aclose()
        self._streams.clear()
        for endpoint in self._endpoints:
            await endpoint.http.close()

    close = destroy

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.destroy()

    # inside

    def _stream(self, topic: Topic, cursor: str | None) -> UpdateStream:
        stream = UpdateStream(self._endpoints, topic, self._checks, cursor=cursor, poll=self._poll)
        self._streams.append(stream)
        return stream

    def _subscribe(self, stream: UpdateStream, listener: Listener) -> str:
        number = secrets.token_urlsafe(8)
        task = asyncio.create_task(_listen(stream, listener), name=f"subscription {number}")
        self._subscriptions[number] = stream, task
        return number

    async def _ask(self, call: Callable[[Endpoint], Awaitable[T]]) -> T:
        if self._quorum == 1:
            return await self._first(call)
        answers, faults = await self._all(call)
        votes = Counter(answers).most_common(1)
        if not votes or votes[0][1] < self._quorum:
            raise self._disagree(votes[0][1] if votes else 0, faults)
        return votes[0][0]

    async def _first(self, call: Callable[[Endpoint], Awaitable[T]]) -> T:
        """Of the server that answered last; of the next one when that fails."""
        fault: ServiceUnavailable | None = None
        for step in range(len(self._endpoints)):
            at = (self._preferred + step) % len(self._endpoints)
            try:
                value = await call(self._endpoints[at])
            except ServiceUnavailable as error:
                fault = fault or error
            else:
                self._preferred = at
                return value
        raise fault or ServiceUnavailable(self.name, "no server is configured")

    async def _all(self, call: Callable[[Endpoint], Awaitable[T]]) -> tuple[list[T], list[BaseException]]:
        found = await asyncio.gather(*map(call, self._endpoints), return_exceptions=True)
        faults = [each for each in found if isinstance(each, BaseException)]
        for each in faults:
            if not isinstance(each, (ServiceUnavailable, ServiceRejected)):
                raise each
        return [each for each in found if not isinstance(each, BaseException)], faults

    def _disagree(self, votes: int, faults: Sequence[BaseException]) -> ServiceUnavailable:
        words = "".join(f"; {each}" for each in faults)
        agree = f"{votes} of {len(self._endpoints)} servers agree, {self._quorum} must"
        return ServiceUnavailable(self.name, f"{agree}{words}")


async def _tuple(answer: Awaitable[list[T]]) -> tuple[T, ...]:
    return tuple(await answer)


async def _listen(stream: UpdateStream, listener: Listener) -> None:
    async for update in stream:
        try:
            outcome = listener(update)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception:
            log.exception("a listener of header updates failed", cursor=update.cursor)
