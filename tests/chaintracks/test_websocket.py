"""Subscriptions over a WebSocket, on a real socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sdk.chaintracks.server.websocket import BURST, MAX_MESSAGE
from support.header_server import header_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.header_server import HeaderServer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[HeaderServer]:
    async with header_server(tmp_path) as server:
        yield server


class Socket:
    def __init__(self, inner: aiohttp.ClientWebSocketResponse) -> None:
        self.inner = inner

    async def ask(self, **message: Any) -> Any:
        await self.inner.send_json(message)
        return await self.inner.receive_json(timeout=10)

    async def next(self) -> Any:
        return await self.inner.receive_json(timeout=10)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/v2/ws") as inner:
        yield Socket(inner)


def hashes(headers: list[dict[str, Any]]) -> list[str]:
    return [each["hash"] for each in headers]


async def test_headers_and_reorgs_are_told_apart(served: HeaderServer) -> None:
    async with connected(served.url) as socket:
        tip = served.headers[-1].hash()
        for topic in ("headers", "reorgs"):
            answer = await socket.ask(op="subscribe", topic=topic)
            assert (answer["type"], answer["topic"], answer["cursor"]) == ("subscribed", topic, f"1-{tip}")
            assert answer["tip"]["hash"] == tip
        (new,) = await served.grow()
        message = await socket.next()
        assert (message["type"], message["first"], message["count"], message["removed"]) == ("headers", 6, 1, 0)
        assert hashes(message["headers"]) == [new.hash()]
        gone = await served.reorganise(2, 3)
        both = {each["type"]: each for each in (await socket.next(), await socket.next())}
        assert hashes(both["headers"]["headers"]) == [each.hash() for each in served.headers[5:]]
        assert (both["headers"]["first"], both["headers"]["removed"]) == (5, 2)
        assert (both["reorg"]["depth"], hashes(both["reorg"]["deactivated"])) == (2, [each.hash() for each in gone])
        assert both["reorg"]["cursor"] == both["headers"]["cursor"] == f"3-{served.headers[-1].hash()}"
        assert await socket.ask(op="unsubscribe", topic="headers") == {
            "type": "unsubscribed", "topic": "headers", "was": True
        }  # fmt: skip
        assert (await socket.ask(op="unsubscribe", topic="headers"))["was"] is False
        await served.grow()
        await served.reorganise(1, 2, salt="again")
        assert (await socket.next())["type"] == "reorg"


async def test_a_cursor_resumes_without_loss(served: HeaderServer) -> None:
    async with connected(served.url) as socket:
        cursor = (await socket.ask(op="subscribe", topic="headers"))["cursor"]
    missed = await served.grow(3)
    gone = await served.reorganise(1, 2)
    async with connected(served.url) as socket:
        assert (await socket.ask(op="subscribe", topic="headers", cursor=cursor))["cursor"] == cursor
        told = [await socket.next() for _ in range(4)]
        assert [hashes(each["headers"])[-1] for each in told] == [
            *(each.hash() for each in missed),
            served.headers[-1].hash(),
        ]
        assert [each["net"] for each in told] == [False] * 4
        await socket.ask(op="subscribe", topic="reorgs", cursor=cursor)
        assert hashes((await socket.next())["deactivated"]) == [gone[0].hash()]


async def test_the_first_cursor_of_an_empty_service_resumes(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=0) as served:
        async with connected(served.url) as socket:
            cursor = (await socket.ask(op="subscribe", topic="headers"))["cursor"]
            assert cursor.startswith("0-")
        await served.grow(2)
        async with connected(served.url) as socket:
            await socket.ask(op="subscribe", topic="headers", cursor=cursor)
            assert [(await socket.next())["first"] for _ in range(2)] == [1, 2]


async def test_a_cursor_of_another_server_is_told_the_difference(tmp_path: Path, served: HeaderServer) -> None:
    """The other's log counts otherwise, and it stands on a branch that only it followed for a while."""
    async with header_server(tmp_path, name="other", start=3) as other:
        for each in served.headers[4:]:
            await other.service.chain.extend(each.to_bytes())
        other.headers = served.headers
        await served.grow(2)
        await other.grow(2)
        cursor = f"40-{served.headers[-1].hash()}"
        gone = await other.reorganise(2, 3)
        async with connected(other.url) as socket:
            await socket.ask(op="subscribe", topic="headers", cursor=cursor)
            message = await socket.next()
            assert (message["net"], message["first"], message["removed"]) == (True, 6, 2)
            assert hashes(message["headers"]) == [each.hash() for each in other.headers[6:]]
            await socket.ask(op="subscribe", topic="reorgs", cursor=cursor)
            assert hashes((await socket.next())["deactivated"]) == [each.hash() for each in gone]


async def test_a_long_run_is_one_message_that_says_where_it_began(served: HeaderServer) -> None:
    from support.header_rig import grown, raw

    longer = grown(served.headers, 400)
    async with connected(served.url) as socket:
        await socket.ask(op="subscribe", topic="headers")
        await served.service.chain.extend(raw(longer[6:]))
        message = await socket.next()
        assert (message["first"], message["count"], len(message["headers"])) == (6, 400, 64)
        assert message["headers"][-1]["hash"] == longer[-1].hash()


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("{", "message"),
        ("[]", "message"),
        ('{"op":"delete"}', "message"),
        ('{"op":"subscribe","topic":"blocks"}', "topic"),
        ('{"op":"subscribe","topic":["headers"]}', "topic"),
        ('{"op":"subscribe","topic":"headers","cursor":7}', "cursor"),
        ('{"op":"subscribe","topic":"headers","cursor":"7"}', "cursor"),
    ],
)
async def test_a_bad_message_is_answered_and_the_connection_stays(served: HeaderServer, text: str, about: str) -> None:
    async with connected(served.url) as socket:
        await socket.inner.send_str(text)
        answer = await socket.next()
        assert (answer["type"], answer["code"]) == ("error", "ERR_PARSE")
        assert about in answer["description"]
        await socket.inner.send_bytes(b"\x00")
        assert (await socket.next())["type"] == "error"
        assert await socket.ask(op="ping") == {"type": "pong"}


async def test_a_message_too_large_ends_the_connection(served: HeaderServer) -> None:
    async with connected(served.url) as socket:
        await socket.inner.send_str(" " * (MAX_MESSAGE + 1))
        message = await socket.inner.receive(timeout=10)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert socket.inner.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_flood_of_messages_ends_the_connection(served: HeaderServer) -> None:
    async with connected(served.url) as socket:
        for _ in range(BURST + 20):
            await socket.inner.send_str('{"op":"ping"}')
        while (message := await socket.inner.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.inner.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
        assert message.extra == "too many messages"


async def test_the_stop_tells_subscribers(served: HeaderServer) -> None:
    async with connected(served.url) as socket:
        await socket.ask(op="subscribe", topic="headers")
        await served.grow()
        await served.server.stop()
        assert (await socket.next())["type"] == "headers"  # what came before the stop
        message = await socket.inner.receive(timeout=10)
        assert (message.type, socket.inner.close_code) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
