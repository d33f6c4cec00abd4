"""The largest body that a message carries arrives whole both ways, however it is written on the wire."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sdk.module_runtime.channels.http_messages import MAX_BODY
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.orchestrator.upstream import LARGEST_MESSAGE_BODY
from support.running_stack import running

PROGRAM = Path(__file__).parent / "programs" / "web_module.py"
LARGEST = b"\xff" * LARGEST_MESSAGE_BODY
"""On a line each of these bytes is ``255,``."""


@pytest.mark.parametrize("channels", [["unix"], []], ids=["channel", "lines"])
async def test_the_largest_body_of_a_message_goes_there_and_back(channels: list[str]) -> None:
    assert MAX_BODY == LARGEST_MESSAGE_BODY
    module = {"kind": "module", "command": [sys.executable, str(PROGRAM), "messages"], "channels": channels}
    board = Switchboard()
    async with running({"web": module}, board, gateway={"largest_body": LARGEST_MESSAGE_BODY + 1}) as seen:
        await seen.until("web", State.READY)
        async with ClientSession(board.api) as client:
            async with client.post("/echo", data=BytesIO(LARGEST)) as answer:
                assert answer.status == 200
                assert await answer.read() == LARGEST
            async with client.post("/echo", data=BytesIO(LARGEST + b"\xff")) as answer:
                assert answer.status == 413
