"""The devnet's Bitcoin P2P port, byte by byte."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.sources.p2p.messages import FRAME_HEAD, FrameHead, Version, frame, get_headers, parse_headers
from sdk.core.chain import MAIN, MOCK
from sdk.devnet.server import DevnetServer

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = Version(70016, 0, 0, 7, "/test/", 0)


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    async def dialled(cls, server: DevnetServer) -> Wire:
        host, _, port = server.peer.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def say(self, command: str, payload: bytes = b"") -> None:
        self.writer.write(frame(MOCK.magic, command, payload))

    async def hear(self, *wanted: str) -> list[bytes]:
        heard = []
        async with asyncio.timeout(10):
            for each in wanted:
                head = FrameHead.parse(MOCK.magic, await self._reader.readexactly(FRAME_HEAD))
                assert head.command == each
                heard.append(await self._reader.readexactly(head.length))
        return heard

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read() == b""


def wire(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(each)[::-1] for each in hashes]


async def test_a_peer_shakes_hands_asks_and_is_told_of_blocks() -> None:
    async with DevnetServer() as server:
        devnet = server.devnet
        peer = await Wire.dialled(server)
        peer.say("version", OURS.to_bytes())
        (theirs, _) = await peer.hear("version", "verack")
        assert Version.parse(theirs).start_height == devnet.height
        peer.say("verack")
        peer.say("ping", b"12345678")
        assert await peer.hear("pong") == [b"12345678"]
        known = devnet.header_at(100)
        peer.say("getheaders", get_headers(wire(["ff" * 32, known.hash()])))
        (answer,) = await peer.hear("headers")
        assert parse_headers(answer) == b"".join(
            devnet.header_at(each).to_bytes() for each in range(101, devnet.height + 1)
        )
        peer.say("getheaders", get_headers(wire([known.hash()]), *wire([devnet.header_at(102).hash()])))
        (answer,) = await peer.hear("headers")
        assert len(parse_headers(answer)) == 2 * 80
        devnet.mine()
        (offer,) = await peer.hear("inv")
        assert offer[5:] == wire([devnet.tip.hash])[0]
        peer.say("sendheaders")
        peer.say("ping", b"12345678")
        await peer.hear("pong")
        devnet.reorg(2)
        heard = await peer.hear("headers")
        assert parse_headers(heard[-1]) == devnet.header_at(devnet.height).to_bytes()
        peer.writer.close()


@pytest.mark.parametrize(
    "nonsense",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", frame(MAIN.magic, "version"), frame(MOCK.magic, "getheaders", b"\1")],
)
async def test_nonsense_ends_the_connection_and_nothing_else(nonsense: bytes) -> None:
    async with DevnetServer() as server:
        peer = await Wire.dialled(server)
        peer.writer.write(nonsense)
        assert await peer.ended()
        other = await Wire.dialled(server)
        other.say("version", OURS.to_bytes())
        await other.hear("version", "verack")
        peer.writer.close()
        other.writer.close()
