"""Two real modules under the real orchestrator ask one another."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROGRAM = Path(__file__).parent / "echo_module.py"
ECHO = {"kind": "module", "command": [sys.executable, str(PROGRAM)]}

WITHIN = 20
"""Seconds; less than the half minute in which a chunk may be acknowledged."""

pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def two_modules() -> AsyncIterator[ClientSession]:
    board = Switchboard()
    async with running({"one": ECHO, "two": ECHO}, board, gateway={}) as seen:
        await seen.until("one", State.READY)
        await seen.until("two", State.READY)
        async with ClientSession(board.api) as client:
            yield client


async def ask(client: ClientSession, target: str, value: Any) -> Any:
    async with client.post(f"/ask/{target}", json=value) as answer:
        return await answer.json() if answer.status == 200 else (answer.status, await answer.text())


async def test_a_question_gets_the_answer_of_the_other_module_however_many_are_on_their_way() -> None:
    async with two_modules() as client:
        answers = await asyncio.gather(*(ask(client, "two/double", number) for number in range(40)))
        assert [each["double"] for each in answers] == [number * 2 for number in range(40)]
        assert {each["source"] for each in answers} <= {"one", "two"}


async def test_no_answer_is_an_error_that_says_why_and_no_more() -> None:
    async with two_modules() as client:
        for target, value, code in (
            ("two/double", "text", "no_number"),
            ("two/nowhere", 1, "not_found"),
            ("two/broken", 1, "failed"),
            ("two/unsayable", 1, "failed"),
            ("two/too_much", 1, "failed"),
            ("nobody/double", 1, "not_found"),
        ):
            status, text = await ask(client, target, value)
            assert status == 502, (target, text)
            assert code in text, (target, text)
            assert "secret" not in text


async def test_a_module_finds_who_offers_a_service() -> None:
    async with two_modules() as client:
        names = [f"greeter{number}" for number in range(8)]
        await asyncio.gather(*(client.post(f"/offer/{name}") for name in names))
        async with client.get("/providers") as answer:
            found = await answer.json()
        assert {name: each[1:] for name, each in found.items()} == {name: [f"{name}:1", "2"] for name in names}
        assert {each[0] for each in found.values()} <= {"one", "two"}


async def test_large_data_goes_from_module_to_module_whole_and_says_from_whom() -> None:
    async with two_modules() as client:
        sizes = [0, 1, 3_000_000, 1_000_000]
        sent = await asyncio.gather(*(send(client, f"two/{size}/{number}") for number, size in enumerate(sizes)))
        assert {status for status, _ in sent} == {200}
        taken = await ask(client, "two/streams", "all")
        assert sorted(each["sha256"] for each in taken) == sorted(digest for _, digest in sent)
        assert {each["from"] for each in taken} <= {"one", "two"}
        status, reason = await send(client, "nobody/10/1")
        assert (status, "no module nobody runs here" in reason) == (502, True)


async def test_a_stream_to_a_module_that_dies_fails_at_once_and_says_why() -> None:
    board = Switchboard()
    async with running({"one": ECHO, "two": ECHO}, board, gateway={}) as seen:
        await seen.until("one", State.READY)
        await seen.until("two", State.READY)
        source, target = (seen.modules[name].instance for name in ("one", "two"))
        assert source is not None
        assert target is not None
        async with asyncio.timeout(WITHIN):  # a module may be ready before its channel is open
            while not (source.conversation.newest_channel and target.conversation.newest_channel):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        os.kill(target.process.pid, signal.SIGSTOP)  # it takes nothing, and answers nothing
        async with ClientSession(board.api) as client, asyncio.timeout(WITHIN):
            sending = asyncio.create_task(client.post("/send/two/1000000/1"))
            while not len(board.streams) and not sending.done():  # noqa: ASYNC110 - another process sends
                await asyncio.sleep(0.01)
            os.kill(target.process.pid, signal.SIGKILL)
            async with await sending as answer:
                text = await answer.text()
                assert answer.status == 502, text
        assert "two" in text or "begin with its first chunk" in text


async def send(client: ClientSession, what: str) -> tuple[int, str]:
    async with client.post(f"/send/{what}") as answer:
        return answer.status, await answer.text()
