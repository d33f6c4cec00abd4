"""One WebSocket through the gateway: messages of a client and a module, passed on as they come.

Each side is read only as fast as the other takes it. Pings, pongs and close codes go through. Of a side that breaks off
without a close (RFC 6455 §7.1.5, code 1006, which cannot be sent) the other is told with a code of ours.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, WSMsgType

from sdk.module_runtime.channels.allowance import Allowance
from sdk.service.http_app import bound_intake

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientWebSocketResponse, web

CLOSE_WITHIN: Final = 2.0
"""Seconds in which a side may answer a close."""
CLIENT_UNITS: Final = 2_000.0, 5_000.0
"""A second, and at once; beyond that it is read more slowly. A message costs a unit, and one more for each 4 KiB."""
MODULE_UNITS: Final = 20_000.0, 60_000.0
BYTES_A_UNIT: Final = 4096
FRUITLESS: Final = 64 * 1024
"""Bytes a second that may become no message: a parser swallows empty parts of one without end."""
_FRAME_HEAD: Final = 14
_TURN: Final = 64
"""Messages after which others have their turn."""
_PASSED_ON: Final = frozenset((WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG))
_NO_STATUS: Final = frozenset((0, WSCloseCode.ABNORMAL_CLOSURE))


@dataclass(frozen=True)
class Close:
    """What a side has said, or is told."""

    code: int
    reason: bytes = b""


STOPPING: Final = Close(WSCloseCode.GOING_AWAY, b"the module is stopping")
IDLE: Final = Close(WSCloseCode.GOING_AWAY, b"nothing was said for too long")
EXPIRED: Final = Close(WSCloseCode.POLICY_VIOLATION, b"the token has expired")
FLOOD: Final = Close(WSCloseCode.GOING_AWAY, b"the client sent what is no message")
CLIENT_GONE: Final = Close(WSCloseCode.GOING_AWAY, b"the client has gone")
MODULE_GONE: Final = Close(WSCloseCode.BAD_GATEWAY, b"the module broke off")


class Tunnel:
    """``run`` passes on until either side closes, or ``end`` is called; then both are closed."""

    def __init__(
        self,
        request: web.Request,
        client: web.WebSocketResponse[bool],
        module: ClientWebSocketResponse[bool],
        *,
        idle: float,
        largest_message: int,
    ) -> None:
        """``idle``: seconds without a frame of either side, after which it ends."""
        self._request, self._client, self._module, self._idle = request, client, module, idle
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Close | None] = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._watching: asyncio.TimerHandle | None = None
        self._module_gone = MODULE_GONE
        burst = 2 * largest_message + 16 * FRUITLESS
        self._fruitless = bound_intake(request, FRUITLESS, burst, lambda: self.end(FLOOD))

    def end(self, close: Close = STOPPING) -> None:
        """Both sides are told ``close``, unless it ends already."""
        if not self._ended.done():
            self._ended.set_result(close)

    def module_stops(self) -> None:
        """If it breaks off from now on, then because it stops."""
        self._module_gone = STOPPING

    async def run(self) -> None:
        pumps = asyncio.create_task(self._from_module()), asyncio.create_task(self._from_client())
        self._watch()
        told = CLIENT_GONE  # if the server cuts the client off
        try:
            told = await self._until_over(*pumps)
        finally:
            if self._watching is not None:
                self._watching.cancel()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            if self._ended.done():
                told = self._ended.result() or told
            await asyncio.gather(self._close_client(told), close_module(self._module, told))

    async def _until_over(self, *pumps: asyncio.Task[Close | None]) -> Close:
        """What ends it. A pump that cannot write has nothing to say: why, the one of the other direction hears."""
        await asyncio.wait((*pumps, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if not self._ended.done() and all(pump.result() is None for pump in pumps if pump.done()):
            left = [pump for pump in pumps if not pump.done()]
            if left:
                await asyncio.wait((*left, self._ended), timeout=CLOSE_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        said = [each.result() for each in (self._ended, *pumps) if each.done()]
        return next((close for close in said if close is not None), self._module_gone)

    async def _from_client(self) -> Close | None:
        return await self._pass_on(self._client, self._module, CLIENT_UNITS, lambda: CLIENT_GONE)

    async def _from_module(self) -> Close | None:
        return await self._pass_on(self._module, self._client, MODULE_UNITS, lambda: self._module_gone)

    async def _pass_on(
        self,
        source: web.WebSocketResponse[bool] | ClientWebSocketResponse[bool],
        sink: web.WebSocketResponse[bool] | ClientWebSocketResponse[bool],
        units: tuple[float, float],
        gone: Callable[[], Close],
    ) -> Close | None:
        """How ``source`` ended; None if ``sink`` cannot be written to."""
        allowance, count = Allowance(*units, self._loop.time), 0
        while True:
            message = await source.receive()
            if message.type not in _PASSED_ON:
                return Close(*_said(message.data, message.extra)) if message.type is WSMsgType.CLOSE else gone()
            self._heard_at = self._loop.time()
            size = len(message.data)
            if source is self._client:
                self._fruitless.take("", -size - _FRAME_HEAD)
            try:
                await sink.send_frame(message.data, message.type)
            except (ConnectionError, RuntimeError):  # RuntimeError: it is closed already
                return None
            count += 1
            cost = 1 + size / BYTES_A_UNIT
            if not allowance.take(cost):
                await asyncio.sleep(allowance.wait())
                allowance.take(cost)
            elif count % _TURN == 0:
                await asyncio.sleep(0)

    def _watch(self) -> None:
        left = self._heard_at + self._idle - self._loop.time()
        if left > 0:
            self._watching = self._loop.call_later(left, self._watch)
        else:
            self.end(IDLE)

    async def _close_client(self, close: Close) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._client.close(code=close.code, message=close.reason)
        except TimeoutError:  # it does not read
            if self._request.transport is not None:
                self._request.transport.abort()


async def close_module(module: ClientWebSocketResponse[bool], close: Close) -> None:
    """Whatever the module sends meanwhile, it has its time."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await module.close(code=close.code, message=close.reason)
    except TimeoutError:  # its connection is closed by the cancellation
        return


def _said(code: int, reason: object) -> tuple[int, bytes]:
    """A close without a code (1005) cannot be written with one; 1000 comes nearest."""
    text = reason.encode() if isinstance(reason, str) else b""
    return (WSCloseCode.OK, text) if code in _NO_STATUS else (code, text)
