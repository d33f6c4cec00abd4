"""A client of a listener, that says what a test wants it to say."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import connect

if TYPE_CHECKING:
    from ssl import SSLContext

    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.init import SocketAddress

PATIENCE = 20


class Peer:
    def __init__(self) -> None:
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.channel = Channel(self._take)

    @classmethod
    async def at(cls, address: SocketAddress | str, ssl: SSLContext | None = None) -> Peer:
        peer = cls()
        await connect(lambda: peer.channel, address, ssl=ssl)
        return peer

    def _take(self, frame: Frame) -> None:
        self.heard.put_nowait(json.loads(frame.payload))

    def say(self, **message: Any) -> None:
        self.channel.send(json.dumps(message).encode())

    async def hear(self, op: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while (message := await self.heard.get())["op"] != op:
                pass
            return message

    async def end(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self.channel.closed)
