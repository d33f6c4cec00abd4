"""Updates of one topic for as long as they are wanted: reconnects, goes to the next server, resumes (R58, R61)."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import aiohttp
import orjson

from sdk.chaintracks.client.polling import Poller
from sdk.chaintracks.client.updates import Gap, HeadersUpdate, Reader
from sdk.core.errors import ServiceUnavailable
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.chaintracks.client.checks import HeaderChecks
    from sdk.chaintracks.client.endpoint import Endpoint
    from sdk.chaintracks.client.updates import ReorgUpdate

    Topic = Literal["headers", "reorgs"]
    Update = HeadersUpdate | ReorgUpdate | Gap

log = get_logger(__name__)

MAX_MESSAGE: Final = 4 * 1024 * 1024
PING: Final = 20.0
"""Seconds between two pings; a server that does not answer one is left."""
SHORTEST: Final = 0.25
LONGEST: Final = 30.0
"""Seconds between two attempts; doubled each time, with jitter."""
POLL: Final = 10.0
"""Seconds between two looks at a server that tells of nothing."""
_RECHECK: Final = 60.0
"""Seconds for which a server is looked at before another one that may tell by itself is tried again."""
_NO_EVENTS: Final = frozenset({200, 400, 404, 405, 426, 501})
"""What a server answers that has no such endpoint, or a proxy that passes no WebSockets on."""
_CLOSE: Final = aiohttp.ClientWSTimeout(ws_close=2.0)


class UpdateStream:
    """``async for update in stream``; ``await aclose()`` ends it, and closes what it opened.

    ``cursor`` moves only when the next update is asked for, so that one whose handling broke off is told again (R58).
    ``live`` says whether a server is connected that tells of changes at once, ``connections`` how often one was. Where
    no server tells of any, one is asked every ``poll`` seconds instead, which ``polling`` says.
    """

    def __init__(
        self,
        servers: Sequence[Endpoint],
        topic: Topic,
        checks: HeaderChecks,
        *,
        cursor: str | None = None,
        shortest: float = SHORTEST,
        poll: float = POLL,
        recheck: float = _RECHECK,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.cursor, self.live, self.connections = cursor, False, 0
        self._servers, self._topic, self._checks = [*servers], topic, checks
        self._poll, self._recheck = poll, recheck
        self._poller, self._polled_until = Poller(), 0.0
        self._polled: Endpoint | None = None
        self._reader = Reader(checks)
        self._shortest, self._jitter = shortest, jitter
        self._attempts = self._failures = 0
        self._told: Update | None = None
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._closing = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        if self._told is not None:
            self.cursor, self._told = self._told.cursor, None
        while not self._closing.is_set():
            try:
                self._told = await self._receive()
            except (aiohttp.ClientError, OSError, TimeoutError, ServiceUnavailable) as error:
                await self._rest(" ".join(str(error).split()) or type(error).__name__)
            else:
                if self._told is not None:
                    return self._told
        await self._disconnect()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closing.set()
        await self._disconnect()
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def polling(self) -> bool:
        return self._polled is not None

    async def _receive(self) -> Update | None:
        if self._polled is None and self._socket is None:
            await self._connect()
        if self._polled is not None:
            return await self._look(self._polled)
        socket = self._socket  # none when it was closed meanwhile
        return None if socket is None else await self._next(socket)

    async def _connect(self) -> None:
        """Subscribe; or, of servers that have no subscriptions, choose one to look at."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        server = self._servers[self._attempts % len(self._servers)]
        self._attempts += 1
        try:
            self._socket = socket = await self._session.ws_connect(
                f"{server.url}/v2/ws", heartbeat=PING, max_msg_size=MAX_MESSAGE, timeout=_CLOSE
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status not in _NO_EVENTS or self._failures < len(self._servers) - 1:
                raise
            log.info("a server has no subscriptions: it is asked instead", url=server.url, every=self._poll)
            self._polled, self._polled_until = server, asyncio.get_running_loop().time() + self._recheck
            return
        resume = {"cursor": self.cursor} if self.cursor is not None else {}
        await socket.send_json({"op": "subscribe", "topic": self._topic, **resume})

    async def _look(self, server: Endpoint) -> Update | None:
        told = await self._poller.look(server, self.cursor)
        self._failures = 0
        wanted = [each for each in told if isinstance(each, Gap) or self._is_wanted(each)]
        if wanted:
            return wanted[0]
        self.cursor = self._poller.cursor
        if len(self._servers) > 1 and asyncio.get_running_loop().time() > self._polled_until:
            self._polled = None
        else:
            await self._pause(self._poll)
        return None

    def _is_wanted(self, update: HeadersUpdate | ReorgUpdate) -> bool:
        return isinstance(update, HeadersUpdate) == (self._topic == "headers")

    async def _next(self, socket: aiohttp.ClientWebSocketResponse) -> Update | None:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise self._checks.nonsense(f"ended the subscription ({socket.close_code})")
        try:
            given = orjson.loads(message.data)
        except orjson.JSONDecodeError as error:
            raise self._checks.nonsense(f"sent broken JSON: {error}") from None
        if not isinstance(given, dict):
            raise self._checks.nonsense(f"sent no object: {given!r:.60}")
        kind = given.get("type")
        if kind == "error":
            raise self._checks.nonsense(f"refused the subscription: {given.get('description')!r:.200}")
        if kind == "subscribed":
            self._subscribed(given)
            return None
        return self._reader.update(given)

    def _subscribed(self, given: dict[str, Any]) -> None:
        begun = self._reader.subscribed(given)
        self.cursor = begun if self.cursor is None else self.cursor
        self.live, self._failures = True, 0
        self.connections += 1

    async def _rest(self, reason: str) -> None:
        await self._disconnect()
        log.info("a subscription is made again", topic=self._topic, service=self._checks.service, reason=reason)
        delay = min(LONGEST, self._shortest * 2.0 ** min(self._failures, 16)) * (0.5 + 0.5 * self._jitter())
        self._failures += 1
        await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _disconnect(self) -> None:
        self.live, self._polled = False, None
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
