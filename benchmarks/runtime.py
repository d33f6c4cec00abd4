"""The module runtime: messages encoded and decoded, and round trips between a module and its orchestrator."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.module_runtime.orchestrator.conversation import Conversation
from sdk.module_runtime.orchestrator.listeners import ChannelSetup, Listener
from sdk.module_runtime.orchestrator.stack import Module
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.extensions import CORRELATION, HELLO
from sdk.module_runtime.protocol.messages import ServiceOperation, decode_module_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECONDS = 1.0
MODULE = Path(__file__).parent / "_runtime_module.py"


class Echo:
    """A service that costs nothing, so that what is measured is the way to it."""

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        return "echo-1"

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any:
        return params

    async def release(self, module_id: str) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Nothing is open."""


async def run(report: Callable[..., None]) -> None:
    report("message encode + decode", _messages(), "/s", limit=100_000)
    rates = await _round_trips(CORRELATION, HELLO)
    report("round trip over a unix socket, one at a time", rates["1"], "/s", limit=5_000)
    report("round trip over a unix socket, 64 in flight", rates["64"], "/s", limit=15_000)


def _messages() -> float:
    message = ServiceOperation(
        connection_id="c1", service_type="Cache", operation="get", params={"key": "user:1"}, operation_id="o1"
    )
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS:
        for _ in range(1000):
            decode_module_line(message.to_json())
        done += 1000
    return done / elapsed


async def _round_trips(*extensions: str) -> dict[str, float]:
    """A module in a process of its own, and the real ends of both sides."""
    board = Switchboard({"Custom:echo": Echo()})
    conversation = Conversation("bench", "a token", board, lambda _level, _text: None)
    setup = ChannelSetup()
    listener = await Listener.open(Module(command=["x"], kind="module"), setup, conversation, time.monotonic)
    assert listener.ipc is not None
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, MODULE, listener.ipc.socket_path, "a token", ",".join(extensions), stdout=-1
        )
        said, _ = await child.communicate()
        rates: dict[str, float] = json.loads(said)
        return rates
    finally:
        await listener.close()
        await conversation.close()
        setup.close()
