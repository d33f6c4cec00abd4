"""Real processes under ``run_stack`` and ``sdk runtime up``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.orchestrator import run_stack
from sdk.module_runtime.orchestrator.stack import parse_stack
from support.commands import SDK
from support.processes import ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODULE = Path(__file__).parents[1] / "support" / "runtime_module.py"
PATIENCE = 30.0


def free_port() -> int:
    """A command is asked at an address of the stack file, so it cannot take a port of its own choice."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def module(mode: str, file: Path | None = None, **more: Any) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, str(MODULE), str(port), mode, *([str(file)] if file else [])]
    restart = {"first_delay": 0.01, "longest_delay": 0.05, "limit": 3}
    return {"command": command, "ready_url": f"http://127.0.0.1:{port}/healthz", "restart": restart, **more}


class Running:
    def __init__(self) -> None:
        self.seen: list[tuple[str, State]] = []
        self._changed = asyncio.Event()

    def on_change(self, name: str, state: State) -> None:
        self.seen.append((name, state))
        self._changed.set()

    async def until(self, name: str, state: State, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.seen.count((name, state)) < times:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def running(**modules: dict[str, Any]) -> AsyncIterator[Running]:
    stack, stop, seen = parse_stack({"modules": modules}, "test"), asyncio.Event(), Running()
    task = asyncio.create_task(run_stack(stack, stop, dict(os.environ), seen.on_change))
    try:
        yield seen
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await task


async def test_modules_start_after_what_they_need_and_stop_before_it(tmp_path: Path) -> None:
    async with running(upper=module("well", after=["base"]), base=module("well")) as seen:
        await seen.until("upper", State.READY)
    steps = [step for step in seen.seen if step[1] in (State.READY, State.STOPPED)]
    assert steps == [("base", State.READY), ("upper", State.READY), ("upper", State.STOPPED), ("base", State.STOPPED)]


async def test_a_module_killed_is_started_again_in_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "s")
    file = tmp_path / "facts"
    async with running(one=module("well", file, environment={"COLOUR": "blue"})) as seen:
        await seen.until("one", State.READY)
        first = json.loads(file.read_text())
        os.kill(first["pid"], signal.SIGKILL)
        await seen.until("one", State.READY, times=2)
        second = json.loads(file.read_text())
    assert second["pid"] != first["pid"]
    assert first["environ"]["COLOUR"] == "blue"
    assert "HOST_SECRET" not in first["environ"]
    assert ends(second["pid"])


async def test_a_module_that_keeps_crashing_fails_alone() -> None:
    async with running(bad=module("crash"), good=module("well"), idle=module("well", after=["bad"])) as seen:
        await seen.until("bad", State.FAILED)
        await seen.until("good", State.READY)
    assert seen.seen.count(("bad", State.STARTING)) == 4
    assert seen.seen.count(("good", State.STARTING)) == 1
    assert not [state for name, state in seen.seen if name == "idle"]


async def test_an_open_port_is_not_readiness() -> None:
    async with running(one=module("unwell", start_timeout=0.5)) as seen:
        await seen.until("one", State.FAILED)
    assert ("one", State.READY) not in seen.seen


async def test_a_module_deaf_to_sigterm_is_killed_in_time() -> None:
    async with running(one=module("stubborn", stop_timeout=0.2)) as seen:
        await seen.until("one", State.READY)
    assert seen.seen[-1] == ("one", State.STOPPED)


async def test_what_a_crashed_module_has_forked_dies_with_it(tmp_path: Path) -> None:
    file = tmp_path / "facts"
    async with running(one=module("forking", file, restart={"limit": 0})) as seen:
        await seen.until("one", State.READY)
        facts = json.loads(file.read_text())
        os.kill(facts["pid"], signal.SIGKILL)
        await seen.until("one", State.FAILED)
        assert [ends(pid) for pid in facts["children"]] == [True]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_module_outlives_its_orchestrator(tmp_path: Path, number: signal.Signals) -> None:
    file, port = tmp_path / "facts", free_port()
    (tmp_path / "stack.toml").write_text(
        f"[modules.one]\ncommand = {json.dumps([sys.executable, str(MODULE), str(port), 'well', str(file)])}\n"
        f'ready_url = "http://127.0.0.1:{port}/"\n'
    )
    with subprocess.Popen([SDK, "runtime", "up"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        try:
            for line in up.stderr:
                if '"ready"' in line:
                    break
            pid = json.loads(file.read_text())["pid"]
            up.send_signal(number)
            assert up.wait(PATIENCE) == (0 if number == signal.SIGTERM else -number)
        finally:
            up.kill()
    assert ends(pid)


def test_a_wrong_stack_file_is_one_line_of_complaint(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text("[modules.one]\ncommand = ['sh']\n")
    ended = subprocess.run([SDK, "runtime", "up"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode != 0
    assert "modules.one: a command needs a ready_url" in ended.stderr
    assert "Traceback" not in ended.stderr
