"""Operators who ask for everything at once, and crashes in between: one process at most serves, and none is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.supervisor import NotReplaced
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.running_stack import PATIENCE, running

if TYPE_CHECKING:
    from sdk.module_runtime.orchestrator.happenings import Happening
    from sdk.module_runtime.orchestrator.supervisor import Supervisor

PROGRAM = Path(__file__).parent / "programs" / "scripted.py"
ANNOUNCE = {"send": {"op": "announce", "listen": "127.0.0.1:1", "endpoints": []}}

pytestmark = pytest.mark.timeout(120)


async def steer(module: Supervisor, chance: random.Random, times: int) -> None:
    for _ in range(times):
        action = chance.choice(("start", "stop", "restart", "replace", "kill", "nothing"))
        with contextlib.suppress(NotReplaced, TimeoutError):
            async with asyncio.timeout(chance.choice((0.01, 0.1, PATIENCE))):  # some operators lose patience
                if action == "start":
                    await module.start_and_wait()
                elif action == "stop":
                    await module.stop()
                elif action == "restart":
                    await module.restart()
                elif action == "replace":
                    await module.replace()
                elif action == "kill" and module.instance is not None:
                    await module.instance.process.kill()
                else:
                    await asyncio.sleep(chance.random() / 20)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_is_asked_in_whatever_order_the_end_is_as_asked(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-S", str(PROGRAM), json.dumps([ANNOUNCE]), str(tmp_path / "record")]
    restart = {"limit": 1000, "first_delay": 0.001, "longest_delay": 0.01}
    one = {"kind": "module", "command": command, "restart": restart, "stop_timeout": 2}
    board = Switchboard()
    started: dict[str, int] = {}
    ended: set[str] = set()

    def take(happening: Happening) -> None:
        if happening.kind == happenings.STARTED:
            started[happening.detail["instance"]] = happening.detail["pid"]
        elif happening.kind == happenings.ENDED:
            ended.add(happening.detail["instance"])

    board.tell = take
    async with running({"one": one}, board) as seen:
        await seen.until("one", State.READY)
        module = seen.modules["one"]
        # an operator who gives up on "stop" leaves it wanted so: the last word decides
        steering = [steer(module, random.Random(seed * 10 + each), 12) for each in range(3)]
        async with asyncio.timeout(90):
            await asyncio.gather(*steering)
            await module.restart()
            assert module.state is State.READY
            assert board.is_ready("one")
            while len(started.keys() - ended) != 1:  # noqa: ASYNC110 - a replacement nobody waits for may still end
                await asyncio.sleep(0.01)
            await module.stop()
        assert module.instance is None
        assert not board.conversations
    assert started.keys() == ended
    for pid in started.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
