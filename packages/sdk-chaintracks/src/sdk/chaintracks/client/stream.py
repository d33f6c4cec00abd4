"""Updates of one topic for as long as they are wanted: reconnects, goes to the next server, resumes (R58, R61)."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import aiohttp
import orjson

from sdk.chaintracks.client.updates import Reader
from sdk.core.errors import ServiceUnavailable
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.chaintracks.client.checks import HeaderChecks
    from sdk.chaintracks.client.updates import Gap, HeadersUpdate, ReorgUpdate

    Topic = Literal["headers", "reorgs"]
    Update = HeadersUpdate | ReorgUpdate | Gap

log = get_logger(__name__)

MAX_MESSAGE: Final = 4 * 1024 * 1024
PING: Final = 20.0
"""Seconds between two pings; a server that does not answer one is left."""
SHORTEST: Final = 0.25
LONGEST: Final = 30.0
"""Seconds between two attempts; doubled each time, with jitter."""
_CLOSE: Final = aiohttp.ClientWSTimeout(ws_close=2.0)


class UpdateStream:
    """``async for update in stream``; ``await aclose()`` ends it, and closes what it opened.

    ``cursor`` moves only when the next update is asked for, so that one whose handling broke off is told again (R58).
    ``live`` says whether a server is connected, ``connections`` how often one was.
    """

    def __init__(
        self,
        urls: Sequence[str],
        topic: Topic,
        checks: HeaderChecks,
        *,
        cursor: str | None = None,
        shortest: float = SHORTEST,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.cursor, self.live, self.connections = cursor, False, 0
        self._urls, self._topic, self._checks = [*urls], topic, checks
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
                self._told = await self._next(self._socket or await self._connect())
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

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        url = self._urls[self._attempts % len(self._urls)]
        self._attempts += 1
        self._socket = socket = await self._session.ws_connect(
            f"{url}/v2/ws", heartbeat=PING, max_msg_size=MAX_MESSAGE, timeout=_CLOSE
        )
        resume = {"cursor": self.cursor} if self.cursor is not None else {}
        await socket.send_json({"op": "subscribe", "topic": self._topic, **resume})
        return socket

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
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._closing.wait()

    async def _disconnect(self) -> None:
        self.live = False
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
