"""Both ends of a channel over real sockets: full duplex, bounded, and closed when it is no stream of frames."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import connect, listen_tcp, listen_unix
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, NotSent
from sdk.module_runtime.protocol.frame import HEADER
from sdk.module_runtime.protocol.init import SocketAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.module_runtime.protocol.frame import Frame

pytestmark = pytest.mark.timeout(60)


class Pair:
    """A server's end and a client's end of one channel, and what each has heard."""

    def __init__(self, **limits: Any) -> None:
        self.limits = limits
        self.at_server: asyncio.Queue[bytes] = asyncio.Queue()
        self.at_client: asyncio.Queue[bytes] = asyncio.Queue()
        self.accepted: asyncio.Queue[Channel] = asyncio.Queue()

    def serve(self) -> Channel:
        channel = Channel(lambda frame: self.at_server.put_nowait(frame.payload), **self.limits)
        asyncio.get_running_loop().call_soon(self.accepted.put_nowait, channel)  # once it is connected
        return channel

    def client(self) -> Channel:
        return Channel(lambda frame: self.at_client.put_nowait(frame.payload), label="unix")


@contextlib.asynccontextmanager
async def over_unix(path: Path, **limits: Any) -> AsyncIterator[tuple[Pair, Channel, Channel]]:
    pair = Pair(**limits)
    server = await listen_unix(pair.serve, str(path / "s"))
    client = await connect(pair.client, str(path / "s"))
    theirs = await pair.accepted.get()
    try:
        yield pair, client, theirs
    finally:
        client.abort("the test is over")
        theirs.abort("the test is over")
        server.close()
        await server.wait_closed()


async def test_both_directions_at_once_and_in_order(tmp_path: Path) -> None:
    async with over_unix(tmp_path) as (pair, client, theirs):
        payloads = [bytes([number % 251]) * number for number in range(300)]

        async def send(channel: Channel) -> None:
            for payload in payloads:
                channel.send(payload)
                await channel.drain()

        await asyncio.gather(send(client), send(theirs))
        assert [await pair.at_server.get() for _ in payloads] == payloads
        assert [await pair.at_client.get() for _ in payloads] == payloads


async def test_only_this_user_can_connect(tmp_path: Path) -> None:
    server = await listen_unix(Pair().serve, str(tmp_path / "s"))
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    server.close()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "format code"),
        (HEADER.pack(0xFFFFFFFF, 1), "over the limit"),
        (HEADER.pack(2000, 1), "over the limit"),
        (HEADER.pack(5, 0), "auto"),
        (HEADER.pack(5, 4) + b"12345", "format code"),
    ],
)
async def test_what_is_no_frame_ends_the_channel(tmp_path: Path, raw: bytes, why: str) -> None:
    async with over_unix(tmp_path, max_payload=1000) as (pair, client, theirs):
        assert client._transport is not None
        client._transport.write(raw)
        assert why in await theirs.closed
        assert pair.at_server.empty()
        await client.closed
        with pytest.raises(NotSent):
            client.send(b"{}")


async def test_a_stream_cut_within_a_frame_is_told_apart_from_one_that_ends(tmp_path: Path) -> None:
    async with over_unix(tmp_path) as (_, client, theirs):
        assert client._transport is not None
        client._transport.write(HEADER.pack(100, 1) + b"half")
        client.close()
        assert "unfinished frame" in await theirs.closed
    async with over_unix(tmp_path) as (_, client, theirs):
        client.close()
        assert await theirs.closed == "the peer has closed it"


async def test_a_peer_that_does_not_read_costs_bounded_memory(tmp_path: Path) -> None:
    async with over_unix(tmp_path, most_queued=1_000_000) as (_, client, theirs):
        client.hold(True)

        def flood() -> None:
            for _ in range(60):
                theirs.send(b"x" * 50_000)

        with pytest.raises(NotSent, match="does not read"):
            flood()
        client.hold(False)
        await theirs.drain()
        theirs.send(b"again")


async def test_nobody_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(LinkClosed, match="no connection to"):
        await connect(Pair().client, str(tmp_path / "nobody"))
    server, port = await listen_tcp(Pair().serve)
    server.close()
    await server.wait_closed()
    with pytest.raises(LinkClosed, match=f"127.0.0.1:{port}"):
        await connect(Pair().client, SocketAddress("127.0.0.1", port))


async def test_a_connection_that_never_comes_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never says a word of TLS
        address = SocketAddress("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(LinkTimeout):
            await connect(Pair().client, address, ssl=ssl.create_default_context(), timeout=0.2)


@settings(max_examples=40, deadline=None)
@given(payloads=st.lists(st.binary(max_size=300), max_size=12), data=st.data())
def test_frames_arrive_whole_however_the_stream_is_cut(payloads: list[bytes], data: st.DataObject) -> None:
    async def run() -> None:
        heard: list[bytes] = []

        def take(frame: Frame) -> None:
            heard.append(frame.payload)

        channel = Channel(take)
        stream = b"".join(HEADER.pack(len(each), 1) + each for each in payloads)
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            channel.data_received(stream[:size])
            stream = stream[size:]
        assert heard == payloads

    asyncio.run(run())


async def test_frames_go_out_in_order_whether_alone_or_many_at_once(tmp_path: Path) -> None:
    async with over_unix(tmp_path) as (pair, client, theirs):
        expected: list[bytes] = []
        for burst in (1, 1, 50, 1, 3, 200):
            for _ in range(burst):
                expected.append(str(len(expected)).encode() * (1 + 997 * (len(expected) % 7)))
                client.send(expected[-1])
            await asyncio.sleep(0)
        got = [await pair.at_server.get() for _ in expected]
        assert got == expected
        assert theirs.is_open


async def test_a_peer_that_vanishes_without_a_word_is_noticed_by_the_system() -> None:
    server, port = await listen_tcp(Pair().serve)
    client = await connect(Pair().client, SocketAddress("127.0.0.1", port))
    connected = client._transport.get_extra_info("socket")  # type: ignore[union-attr]
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, every, times = (
        connected.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + every * times <= 60
    client.close()
    server.close()
