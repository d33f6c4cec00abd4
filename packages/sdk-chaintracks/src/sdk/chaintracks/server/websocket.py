"""Subscriptions over one WebSocket: ``GET /v2/ws``.

A client sends ``{"op": "subscribe", "topic": "headers" | "reorgs", "cursor"?}``, ``{"op": "unsubscribe", "topic"}`` or
``{"op": "ping"}``. It is answered ``{"type": "subscribed", "topic", "cursor", "tip"}``, ``unsubscribed``, ``pong`` or
``{"type": "error", "code", "description"}``, and is sent ``headers``, ``reorg`` and ``gap`` messages (see ``changes``),
each with the ``cursor`` to come back with.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from sdk.chaintracks.consensus.fields import header_json
from sdk.chaintracks.server.changes import Gap
from sdk.chaintracks.server.positions import read_cursor
from sdk.core.errors import ParseError
from sdk.service.http_app import RateLimiter, bound_intake, long_lived

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.server.changes import Change
    from sdk.chaintracks.server.positions import Position
    from sdk.chaintracks.server.subscribers import Subscribers

TOPICS: Final = ("headers", "reorgs")
MAX_MESSAGE: Final = 4096
MESSAGES_PER_SECOND: Final = 10.0
BURST: Final = 50
WRITER_LIMIT: Final = 16 * 1024
"""Bytes after which a write waits until the connection takes more."""


class WebSockets:
    def __init__(self, chain: HeaderChain, subscribers: Subscribers) -> None:
        self._chain, self._subscribers = chain, subscribers

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.get("/v2/ws", self.connect)]

    async def connect(self, request: web.Request) -> web.StreamResponse:
        with self._subscribers.admitted(request, "websocket") as wake:
            socket = web.WebSocketResponse(
                heartbeat=self._subscribers.options.keepalive,
                max_msg_size=MAX_MESSAGE,
                compress=False,
                autoping=False,  # pings count as messages
                timeout=1.0,
                writer_limit=WRITER_LIMIT,
            )
            await socket.prepare(request)
            long_lived(request)
            bound_intake(request, MESSAGES_PER_SECOND * MAX_MESSAGE, BURST * MAX_MESSAGE, self._flooded)
            session = _Session(self._chain, self._subscribers, request, socket, wake)
            sending = asyncio.create_task(session.send())
            try:
                await session.receive()
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        return socket

    def _flooded(self) -> None:
        self._subscribers.dropped["flood"] += 1


class _Session:
    """One connection: ``receive`` changes what it is subscribed to, ``send`` sends what there is."""

    def __init__(
        self,
        chain: HeaderChain,
        subscribers: Subscribers,
        request: web.Request,
        socket: web.WebSocketResponse,
        wake: asyncio.Event,
    ) -> None:
        self._chain, self._subscribers, self._feed = chain, subscribers, subscribers.feed
        self._request, self._socket, self._wake = request, socket, wake
        self._positions: dict[str, Position] = {}
        self._answers: list[bytes] = []
        self._rate = RateLimiter(MESSAGES_PER_SECOND, BURST, keys=1)

    # what comes in

    async def receive(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.ERROR:
                return
            if self._rate.take("") > 0 or len(self._answers) >= BURST:
                self._subscribers.dropped["flood"] += 1
                await self._within(self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many messages"))
                return
            if message.type is WSMsgType.PONG:
                continue
            if message.type is WSMsgType.PING:
                if not await self._within(self._socket.pong(message.data)):
                    return
                continue
            try:
                answer = self._answer(message.data if message.type is WSMsgType.TEXT else "")
            except ParseError as error:
                answer = {"type": "error", "code": error.code, "description": str(error)}
            self._answers.append(orjson.dumps(answer))
            self._wake.set()

    def _answer(self, text: str) -> dict[str, Any]:
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ParseError("message", f"is no JSON: {error}") from None
        operation = given.get("op") if isinstance(given, dict) else None
        if operation == "ping":
            return {"type": "pong"}
        if operation not in ("subscribe", "unsubscribe"):
            raise ParseError("message", 'must be {"op": "subscribe" | "unsubscribe" | "ping", …}')
        topic = given.get("topic")
        if topic not in TOPICS:
            raise ParseError("topic", f"must be one of {', '.join(TOPICS)}")
        if operation == "unsubscribe":
            return {"type": "unsubscribed", "topic": topic, "was": self._positions.pop(topic, None) is not None}
        return self._subscribe(topic, given.get("cursor"))

    def _subscribe(self, topic: str, cursor: object) -> dict[str, Any]:
        if cursor is not None and not isinstance(cursor, str):
            raise ParseError("cursor", "must be text")
        position = self._feed.newest if cursor is None else read_cursor(cursor)
        self._positions[topic] = position
        tip = self._chain.tip
        return {
            "type": "subscribed",
            "topic": topic,
            "cursor": str(position),
            "tip": header_json(tip.raw, tip.height, tip.hash),
        }

    # what goes out

    async def send(self) -> None:
        """Until the service stops or the reader does not read; then the connection is closed."""
        while True:
            closed = self._feed.closed  # what came before the end is still told
            self._wake.clear()
            answers, self._answers = self._answers, []
            for each in answers:
                if not await self._deliver(each):
                    return
            behind = False
            for topic, position in [*self._positions.items()]:
                reached, items = await self._feed.read(position)
                if topic not in self._positions or self._positions[topic] is not position:
                    continue  # it was changed meanwhile
                self._positions[topic] = reached
                behind = behind or bool(items)
                for item in items:
                    text = _text(item, topic)
                    if text is not None and not await self._deliver(text):
                        return
            if closed and not behind:
                break
            if not behind and not self._feed.closed:
                await self._wake.wait()
        with suppress(ConnectionError):
            await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the service is stopping")

    async def _deliver(self, text: bytes) -> bool:
        return await self._within(self._socket.send_frame(text, WSMsgType.TEXT))

    async def _within(self, sending: Awaitable[object]) -> bool:
        """Whether the reader took it within ``stall`` seconds; otherwise it is cut off."""
        try:
            async with asyncio.timeout(self._subscribers.options.stall):
                await sending
        except TimeoutError:
            self._subscribers.dropped["stall"] += 1
            if self._request.transport is not None:
                self._request.transport.abort()
            return False
        except ConnectionError:
            return False
        return True


def _text(item: Change | Gap, topic: str) -> bytes | None:
    if isinstance(item, Gap):
        return item.message
    return item.headers if topic == "headers" else item.reorg
