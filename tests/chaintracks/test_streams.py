"""Server-sent events over a real socket: ids, resume, gaps, keepalive, the stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sdk.chaintracks.server import ServerOptions
from sdk.chaintracks.server.feed import KEPT
from support.header_server import EventReader, header_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.header_server import HeaderServer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[HeaderServer]:
    async with header_server(tmp_path) as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


def _hash(event: dict[str, Any] | None) -> str:
    assert event is not None
    return str(event["data"]["hash"])


async def test_a_subscriber_gets_the_tip_and_every_change_until_the_stop(
    served: HeaderServer, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{served.url}/v2/tip/stream") as answer:
        assert answer.content_type == "text/event-stream"
        reader = EventReader(answer)
        first = await reader.next()
        assert first is not None
        assert (first["data"]["hash"], first["data"]["height"]) == (served.headers[-1].hash(), 5)
        await served.reorganise(2, 3)
        assert _hash(await reader.next()) == served.headers[-1].hash()
        await served.grow()
        await served.server.stop()
        assert _hash(await reader.next()) == served.headers[-1].hash()  # what came before the stop is still told
        assert await reader.next() is None


async def test_the_reorg_stream_lists_what_is_no_longer_active(
    served: HeaderServer, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{served.url}/v2/reorg/stream") as answer:
        reader = EventReader(answer)
        await served.grow()
        gone = await served.reorganise(3, 4)
        event = await reader.next()
        assert event is not None
        assert event["data"]["depth"] == 3
        assert [each["hash"] for each in event["data"]["deactivated"]] == [each.hash() for each in gone]
        assert event["data"]["oldTip"]["hash"] == gone[0].hash()
        assert event["data"]["newTip"]["hash"] == served.headers[-1].hash()


@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_reader_that_comes_back_gets_what_it_missed(
    served: HeaderServer, session: aiohttp.ClientSession, way: str
) -> None:
    async with session.get(f"{served.url}/v2/tip/stream") as answer:
        first = await EventReader(answer).next()
    assert first is not None
    missed = await served.grow(3)
    headers = {"Last-Event-ID": first["id"]} if way == "header" else {}
    params = {} if way == "header" else {"cursor": first["id"]}
    async with session.get(f"{served.url}/v2/tip/stream", headers=headers, params=params) as answer:
        reader = EventReader(answer)
        assert [_hash(await reader.next()) for _ in missed] == [each.hash() for each in missed]
        (more,) = await served.grow()
        assert _hash(await reader.next()) == more.hash()


async def test_r60_an_unknown_cursor_is_a_gap_in_band_and_the_stream_goes_on(
    served: HeaderServer, session: aiohttp.ClientSession
) -> None:
    cursor = f"7-{'ab' * 32}"
    async with session.get(f"{served.url}/v2/tip/stream", params={"cursor": cursor}) as answer:
        reader = EventReader(answer)
        gap = await reader.next()
        assert gap is not None
        assert gap["event"] == "gap"
        assert gap["data"]["lastGood"] == cursor
        assert gap["data"]["reconcile"] == "/v2/tip/header"
        assert gap["id"] == gap["data"]["cursor"] == f"1-{served.headers[-1].hash()}"
        await served.grow()
        assert _hash(await reader.next()) == served.headers[-1].hash()
    async with session.get(f"{served.url}/metrics") as answer:
        assert "chaintracks_gaps_total 1.0" in await answer.text()


async def test_r61_replay_is_bounded_and_a_longer_absence_is_told_as_one_change(
    served: HeaderServer, session: aiohttp.ClientSession
) -> None:
    before = served.headers[-1]
    await served.grow(KEPT + 2)
    async with session.get(f"{served.url}/v2/tip/stream", params={"cursor": f"1-{before.hash()}"}) as answer:
        assert _hash(await EventReader(answer).next()) == served.headers[-1].hash()


async def test_a_quiet_stream_is_kept_alive(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with (
        header_server(tmp_path, options=ServerOptions(keepalive=0.01)) as served,
        session.get(f"{served.url}/v2/reorg/stream") as answer,
    ):
        lines = [await answer.content.readline() for _ in range(4)]
        assert lines[0].startswith(b"retry: ")
        assert lines[2] == b": keepalive\n"


@pytest.mark.parametrize("cursor", ["x", "1", "1-", f"-1-{'ab' * 32}", f"1-{'AB' * 32}", "9" * 19 + "-" + "ab" * 32])
async def test_a_malformed_cursor_is_400(served: HeaderServer, session: aiohttp.ClientSession, cursor: str) -> None:
    async with session.get(f"{served.url}/v2/tip/stream", params={"cursor": cursor}) as answer:
        assert answer.status == 400
        assert "cursor" in (await answer.json())["description"]


async def test_subscribers_are_limited_in_all_and_by_client(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    for options, status in (
        (ServerOptions(subscribers=1), 503),
        (ServerOptions(subscribers_per_client=1), 429),
    ):
        async with header_server(tmp_path, name=str(status), options=options) as served:
            first = await session.get(f"{served.url}/v2/tip/stream")
            assert await EventReader(first).next() is not None
            async with session.get(f"{served.url}/v2/reorg/stream") as second:
                assert second.status == status
                assert "Retry-After" in second.headers
            first.close()
