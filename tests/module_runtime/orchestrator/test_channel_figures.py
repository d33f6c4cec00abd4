"""What a real module's channels do, as the module itself and its orchestrator tell Prometheus."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession

from sdk.module_runtime.channels import metrics
from sdk.module_runtime.channels.metrics import LEAST
from sdk.module_runtime.module.program import LISTEN, ORCHESTRATOR
from sdk.module_runtime.orchestrator import happenings, listeners, registration
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.runtime_metrics import RuntimeMetrics
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.service.metrics import create_registry, render
from support.running_stack import PATIENCE, running

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from sdk.module_runtime.orchestrator.happenings import Happening
    from sdk.module_runtime.orchestrator.orchestrator import Orchestrator

ECHO = Path(__file__).parents[1] / "module" / "echo_module.py"
BOTH = {"kind": "module", "command": [sys.executable, str(ECHO)], "channels": ["unix", "tcp"]}


def shown(orchestrator: Orchestrator) -> str:
    registry = create_registry()
    registry.register(RuntimeMetrics(orchestrator))
    return render(registry).decode()


def value(text: str, name: str, **labels: str) -> float:
    wanted = ",".join(f'{label}="{each}"' for label, each in sorted(labels.items()))
    found = re.search(rf"^{name}{{{re.escape(wanted)}}} (\S+)$", text, re.MULTILINE)
    assert found, f"{name}{{{wanted}}} is not in\n{text}"
    return float(found[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - figures have no event
            await asyncio.sleep(0.02)


async def test_both_ends_count_the_same_messages_and_a_question_goes_where_its_properties_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listeners, "HEARTBEAT", 0.05)
    board = Switchboard()
    modules = {"one": BOTH, "two": {**BOTH, "mount": "/two"}}
    async with running(modules, board, gateway={}) as seen, AsyncExitStack() as rest:
        await seen.until("one", State.READY)
        await seen.until("two", State.READY)
        client = await rest.enter_async_context(ClientSession(board.api))
        assert seen.orchestrator is not None
        orchestrator = seen.orchestrator

        async def of_module(channel: str, name: str = "answered") -> float:
            async with client.get("/metrics") as answer:
                text = await answer.text()
            return value(text, "runtime_channel_requests_total", channel=channel, outcome=name)

        for properties, taken in (({"priority": "critical"}, "ipc"), ({"priority": "bulk"}, "tcp")):
            before = await of_module(taken)
            async with client.post("/ask/two/double", json=21, params=properties) as answer:
                assert await answer.json() == {"double": 42, "source": "one"}
            assert await of_module(taken) == before + 1
        for label in ("unix", "tcp"):

            def figure(name: str, label: str = label, **more: str) -> float:
                return value(shown(orchestrator), f"runtime_channel_{name}", module="one", channel=label, **more)

            await until(lambda figure=figure: figure("requests_total", outcome="answered") >= 3)  # type: ignore[misc]
            assert 0 < figure("latency_seconds", of="p50") <= figure("latency_seconds", of="max") < PATIENCE
            assert figure("messages_total", direction="sent") >= 3
            assert figure("bytes_total", direction="received") > 100
            assert figure("availability") == 1


async def test_an_alert_is_an_event_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "HEARTBEAT", 0.05)
    monkeypatch.setattr(metrics, "CHECK_EVERY", 0.0)
    board = Switchboard()
    told: list[Happening] = []
    async with running({"one": BOTH}, board) as seen:
        await seen.until("one", State.READY)
        board.tell = told.append
        instance = seen.modules["one"].instance
        assert instance is not None
        assert instance.listener is not None
        for _ in range(2 * LEAST):
            instance.listener.metrics["unix"].fail(instance.listener.clock())
        await until(lambda: any(each.kind == happenings.CHANNEL_ALERT for each in told))
        (alert,) = (each for each in told if each.kind == happenings.CHANNEL_ALERT)
        assert alert.module_id == "one"
        assert (alert.detail["channel"], alert.detail["about"]) == ("unix", "error_rate")
        assert seen.orchestrator is not None
        text = shown(seen.orchestrator)
        assert value(text, "runtime_channel_alerts_total", module="one", channel="unix", about="error_rate") == 1


async def test_a_registered_module_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "HEARTBEAT", 0.05)
    board = Switchboard()
    tables: dict[str, Any] = {"registration": {"listen": "127.0.0.1:0"}}
    async with running({"one": BOTH}, board, **tables) as seen:
        await seen.until("one", State.READY)
        assert seen.orchestrator is not None
        registrar = seen.orchestrator.registrar
        assert registrar is not None
        orchestrator = seen.orchestrator
        environ = {ORCHESTRATOR: f"127.0.0.1:{registrar.port}", LISTEN: "127.0.0.1:0", "PATH": "/usr/bin:/bin"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, ECHO, stdin=-3, stdout=-3, stderr=-3, env=environ
        )
        try:
            await until(lambda: board.is_ready("echo"))

            def answered() -> float:
                labels = {"module": "echo", "channel": "registered", "outcome": "answered"}
                return value(shown(orchestrator), "runtime_channel_requests_total", **labels)

            await until(lambda: answered() >= 2)
        finally:
            process.terminate()
            await process.wait()
