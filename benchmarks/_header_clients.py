"""Many clients of a header service in a process of their own; prints one JSON object a line.

``python _header_clients.py subscribe URL COUNT``: as many WebSocket subscribers, each known to be subscribed before
``ready`` is printed. For each line of input it waits until all have been told of one new block, and prints when the
first, the middle and the last of them were, on the system's monotonic clock.

``python _header_clients.py get URL/PATH CONNECTIONS REQUESTS TOP``: as many requests for headers below height ``TOP``;
each connection asking again as soon as it is answered. Every answer must be 200 and name its height.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from functools import partial
from urllib.parse import urlsplit

_HANDSHAKE = (
    b"GET /v2/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT = b'{"op":"subscribe","topic":"headers"}'
_SUBSCRIBE = bytes([0x81, 0x80 | len(_TEXT)]) + bytes(4) + _TEXT


class Room:
    """Counts what its subscribers were told."""

    def __init__(self, count: int) -> None:
        self.count, self.subscribed = count, 0
        self.times: list[float] = []
        self.full = asyncio.Event()
        self.ready = asyncio.Event()

    def told(self, messages: int) -> None:
        self.times += [time.monotonic()] * messages
        if len(self.times) >= self.count:
            self.full.set()


class Subscriber(asyncio.Protocol):
    def __init__(self, room: Room) -> None:
        self._room, self._seen = room, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(_HANDSHAKE)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if self._seen is None:
            self._room.told(data.count(b'"type":"headers"'))
            return
        self._seen += data
        if self._seen.startswith(b"HTTP/1.1 101") and self._seen.endswith(b"\r\n\r\n"):
            self._transport.write(_SUBSCRIBE)  # type: ignore[attr-defined]
        elif b'"type":"subscribed"' in self._seen:
            self._seen = None  # type: ignore[assignment]
            self._room.subscribed += 1
            if self._room.subscribed == self._room.count:
                self._room.ready.set()


async def subscribe(url: str, count: int) -> None:
    loop, (host, port), room = asyncio.get_running_loop(), _place(url), Room(count)
    kept = []
    for at in range(0, count, 100):
        kept += await asyncio.gather(
            *(loop.create_connection(lambda: Subscriber(room), host, port) for _ in range(min(100, count - at)))
        )
    await asyncio.wait_for(room.ready.wait(), 60)
    say(ready=len(kept))
    while await loop.run_in_executor(None, sys.stdin.readline):
        await asyncio.wait_for(room.full.wait(), 60)
        times = sorted(room.times)
        say(first=times[0], middle=times[count // 2], last=times[-1], count=len(times))
        room.times, room.full = [], asyncio.Event()
    for transport, _ in kept:
        transport.abort()


class Asker(asyncio.Protocol):
    """One request after another, until there are none left."""

    def __init__(self, path: str, left: list[int], done: asyncio.Future[None]) -> None:
        self._path, self._left, self._done, self._seen, self._height = path, left, done, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if not self._left:
            self._transport.close()
            self._done.set_result(None)
            return
        self._height = self._left.pop()
        request = f"GET {self._path}{self._height} HTTP/1.1\r\nHost: bench\r\n\r\n"
        self._transport.write(request.encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200") or f'"height":{self._height}'.encode() not in body:
            raise AssertionError(self._seen)
        self._seen = b""
        self._ask()


async def get(url: str, connections: int, requests: int, top: int) -> None:
    loop, (host, port) = asyncio.get_running_loop(), _place(url)
    heights, path = random.Random(1).choices(range(top), k=requests), "/" + url.split("/", 3)[3]
    waits: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    started = time.monotonic()
    for each in waits:
        await loop.create_connection(partial(Asker, path, heights, each), host, port)
    await asyncio.gather(*waits)
    say(seconds=time.monotonic() - started, spent=time.process_time())


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def say(**members: object) -> None:
    print(json.dumps(members), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    kind, address, *numbers = sys.argv[1:]
    asyncio.run(subscribe(address, *map(int, numbers)) if kind == "subscribe" else get(address, *map(int, numbers)))
