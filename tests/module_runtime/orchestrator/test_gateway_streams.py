"""Answers and bodies that go on for long, through the gateway to a real module."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError

from support.gateway_rig import gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT = 2.0
"""Seconds; a machine that is busy does in it what an idle one does at once."""


async def test_an_event_stream_may_be_silent_for_longer_than_an_answer_and_is_no_request_in_flight() -> None:
    async with (
        gateway(timeout=TIMEOUT, in_flight=1) as rig,
        rig.client.get(f"/events?pause={1.5 * TIMEOUT}") as first,
        rig.client.get("/events?pause=60") as second,
    ):
        for number in range(3):
            event = await first.content.readuntil(b"\n\n")
            assert event.startswith(f"id: {number}\ndata: ".encode())
        assert second.status == 200
        async with rig.client.get("/hello") as answer:
            assert answer.status == 200


async def test_an_event_stream_of_which_nothing_comes_is_broken_off_and_not_ended() -> None:
    async with gateway(idle=TIMEOUT) as rig, rig.client.get("/events?pause=60") as answer:
        await answer.content.readuntil(b"\n\n")
        with pytest.raises(ClientError):
            await answer.content.read()


async def test_an_event_stream_ends_with_the_token_that_was_shown_for_it() -> None:
    async with gateway() as rig:
        headers = {"Authorization": "Bearer 3"}
        async with rig.client.get("/private-events?pause=0.05", headers=headers) as answer, asyncio.timeout(20):
            events = (await answer.read()).count(b"\n\n")
        assert events >= 1
        async with rig.client.get("/private-events?pause=0.05") as answer:
            assert answer.status == 401


async def test_body_and_answer_stream_both_ways_at_once_and_for_longer_than_the_timeout() -> None:
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        for number in range(8):
            answered.clear()
            yield f"part {number};".encode()
            await answered.wait()  # what was sent is answered before more is
            await asyncio.sleep(TIMEOUT / 6)

    async with gateway(timeout=TIMEOUT) as rig, rig.client.post("/both-ways", data=body()) as answer:
        heard = []
        async with asyncio.timeout(30):
            async for part in answer.content.iter_any():
                heard.append(part)
                answered.set()
    assert b"".join(heard) == b"".join(b"PART %d;" % number for number in range(8))
