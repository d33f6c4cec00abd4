"""Connections over which a server tells of new blocks. Losing one costs time only: sources are asked anyway."""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import aiohttp
import orjson

from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST: Final = 0.5
"""Seconds between two pieces of news, however many are told."""
_SHORTEST: Final = 1.0
_LONGEST: Final = 300.0
_CONNECT: Final = 15.0
_MAX_MESSAGE: Final = 256 * 1024

log = get_logger(__name__)


class Announcements(ABC):
    """``url`` is asked from the first ``wait`` on, again and again, until ``close``.

    ``silence`` is after how many seconds without a word the connection is taken for dead.
    """

    def __init__(
        self,
        url: str,
        *,
        silence: float,
        least: float = _LEAST,
        shortest: float = _SHORTEST,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url
        self._silence, self._least, self._shortest, self._jitter = silence, least, shortest, jitter
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._last = float("-inf")
        self.heard = 0

    async def wait(self) -> None:
        """Return when there is news."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"news from {self.url}")
        await self._news.wait()
        self._news.clear()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                try:
                    await self._listen(session)
                    reason = "ended by the server"
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    reason = " ".join(str(error).split()) or type(error).__name__
                delay = min(_LONGEST, self._shortest * 2.0 ** min(self._failures, 16)) * (0.5 + 0.5 * self._jitter())
                self._failures += 1
                log.info("news broke off", url=self.url, reason=reason, again_in=round(delay, 1))
                await asyncio.sleep(delay)

    def _told(self) -> None:
        self._failures = 0
        self.heard += 1
        loop = asyncio.get_running_loop()
        due = max(loop.time(), self._last + self._least)
        if due > self._last:
            self._last = due
            loop.call_at(due, self._news.set)

    @abstractmethod
    async def _listen(self, session: aiohttp.ClientSession) -> None:
        """Connect and call ``_told`` until the connection ends."""


class EventStreamNews(Announcements):
    """Server-sent events, each of which is news."""

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT, sock_read=self._silence)
        headers = {"Accept": "text/event-stream"}
        async with session.get(self.url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200 or answer.content_type != "text/event-stream":
                raise ValueError(f"answered {answer.status} {answer.content_type}")
            while line := await answer.content.readline():  # bounded by aiohttp: a longer line is a ValueError
                if line.startswith(b"data:"):
                    self._told()


class WhatsOnChainNews(Announcements):
    """WhatsOnChain's WebSocket of block headers (spec/arc.md §3.1)."""

    def __init__(
        self,
        url: str,
        *,
        silence: float = 100.0,
        ping: float = 10.0,
        least: float = _LEAST,
        shortest: float = _SHORTEST,
    ) -> None:
        super().__init__(url, silence=silence, least=least, shortest=shortest)
        self._ping = ping

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(_CONNECT):
            socket = await session.ws_connect(self.url, max_msg_size=_MAX_MESSAGE)
        pings = asyncio.create_task(self._pings(socket), name=f"pings to {self.url}")
        try:
            await socket.send_str("{}")
            while True:
                async with asyncio.timeout(self._silence):
                    message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ValueError(f"the socket ended ({socket.close_code})")
                await self._take(socket, message.data)
        finally:
            pings.cancel()
            await asyncio.gather(pings, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await socket.close()

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
        if not text.strip():
            return
        given = orjson.loads(text)
        if given == {}:
            await socket.send_str("ping")
        elif isinstance(given, dict) and given.get("type") == 7:
            raise ValueError("the server ends the subscription")
        elif isinstance(given, dict) and any(name in given for name in ("pub", "data", "message")):
            self._told()

    async def _pings(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(self._ping)
            await socket.send_str("ping")
