"""The module runtime: messages, ways between modules and orchestrator, the gateway, and what many modules cost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _runtime_module import rate
from aiohttp import ClientSession

from sdk.module_runtime.channels.http_tcp import HttpTcpClient
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol import messages
from sdk.module_runtime.protocol.init import parse_socket_address
from support.requirements import CACHE
from support.running_stack import running
from support.rust_rig import rust_module, rust_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sdk.module_runtime.protocol.model import Codec, WireStruct

SECONDS = 3.0
MODULE = [sys.executable, str(Path(__file__).parent / "_runtime_module.py")]
COUNTERPART = CACHE / "peers" / "rust" / "bin" / "counterpart"
ECHO = {"Custom": "echo"}


class Echo:
    """The cheapest service: what is measured is the way to it."""

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        return f"{module_id}-echo"

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any:
        return params

    async def release(self, module_id: str) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Nothing is held."""


async def run(report: Callable[..., None]) -> None:
    codec(report)
    await ways(report)
    await gateway(report)
    await frames(report)
    await starting(report)
    await idling(report)


def codec(report: Callable[..., None]) -> None:
    operation = messages.ServiceOperation(
        connection_id="conn-1",
        service_type="Database",
        operation="query",
        params={"query": "SELECT 1", "params": []},
    )
    result = messages.ServiceOperationResult(success=True, result=[{"data": {"id": 1, "name": "a"}}])
    request = messages.HttpRequest(
        request_id="r1",
        method="POST",
        uri="/items",
        headers={"content-type": "application/json"},
        body=b"x" * 100,
    )
    rust: dict[str, float] = {}
    if COUNTERPART.exists():
        printed = subprocess.run([COUNTERPART, "bench", "0.5"], capture_output=True, check=True).stdout
        rust = json.loads(printed)
    for name, message, reader in (
        ("operation", operation, messages.MODULE_TO_ORCHESTRATOR),
        ("result", result, messages.ORCHESTRATOR_TO_MODULE),
        ("body", request, messages.ORCHESTRATOR_TO_MODULE),
    ):
        title = {
            "operation": "message written and read",
            "result": "the same, with rows and a null",
            "body": "the same, with a body of 100 bytes",
        }[name]
        peers = {"rust": rust[name]} if name in rust else {}
        report(title, codec_rate(message, reader), "messages/s", peers, limit=100_000)


def codec_rate(message: WireStruct, reader: Codec[Any]) -> float:
    """By processor time: the best of several short runs, for a busy machine disturbs the others."""

    def once() -> float:
        began = time.process_time()
        for _ in range(10_000):
            reader.from_json(message.to_json())
        return 10_000 / (time.process_time() - began)

    return max(once() for _ in range(5))


@asynccontextmanager
async def stack(**tables: Any) -> AsyncIterator[tuple[ClientSession, int]]:
    """A client of the gateway before the measured module, and that module's process id."""
    board = Switchboard({"Custom:echo": Echo()})
    async with running({"measured": {"kind": "module", "command": MODULE}}, board, gateway={}, **tables) as seen:
        await seen.until("measured", State.READY)
        instance = seen.modules["measured"].instance
        assert instance is not None
        async with ClientSession(board.api) as client:
            yield client, instance.process.pid


async def ways(report: Callable[..., None]) -> None:
    """A busy machine lets one side wait for the other; the processor time of both says what a quiet one would do."""
    async with stack() as (client, pid):
        alone, ours, modules = await timed(client, pid, 1)
        alone_of_time = 1 / (ours + modules)
        many, ours, modules = await timed(client, pid, 64)
        many_of_time = 1 / max(ours, modules)
    echo = await bare_echo()
    peers = {"bare asyncio echo": echo}
    if COUNTERPART.exists():
        async with rust_orchestrator(MODULE) as rust:
            await rust.saw("announce")
            asked = {"service": "Cache", "callers": 1, "seconds": SECONDS}
            status, body = await rust.http("POST", "/measure", json.dumps(asked).encode())
            assert status == 200
            peers["rust orchestrator, stdio"] = json.loads(body)
            await rust.end()
    report("round trip over a unix socket, one at a time", alone, "round trips/s", peers, limit=5_000)
    report("… times as long as the bare echo takes", echo / alone, "times", limit=2.5)
    report("… by the processor time of both ends", alone_of_time, "round trips/s")
    report("round trip over a unix socket, 64 in flight", many, "round trips/s", limit=15_000)
    report("… by the processor time of the busier end", many_of_time, "round trips/s")


async def timed(client: ClientSession, pid: int, callers: int) -> tuple[float, float, float]:
    """Round trips a second, and the processor seconds that one took here and in the module."""
    before, before_module = time.process_time(), processor_time(pid)
    rate = await measured(client, ECHO, callers)
    count = rate * SECONDS
    return rate, (time.process_time() - before) / count, (processor_time(pid) - before_module) / count


async def bare_echo() -> float:
    """What the system and asyncio allow: 100 bytes to another process and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        program = [sys.executable, str(Path(__file__).parent / "_bare_echo.py"), path]
        process = await asyncio.create_subprocess_exec(*program, stdout=-1)
        assert process.stdout is not None
        await process.stdout.readline()
        reader, writer = await asyncio.open_unix_connection(path)
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            writer.write(b"x" * 100)
            await reader.readexactly(100)
            done += 1
        rate = done / (time.perf_counter() - started)
        writer.close()
        process.kill()
        await process.wait()
        return rate


async def measured(client: ClientSession, service: Any, callers: int, **config: Any) -> float:
    asked = {"service": service, "config": config, "callers": callers, "seconds": SECONDS}
    async with client.post("/measure", json=asked) as answer:
        assert answer.status == 200, await answer.text()
        rate: float = await answer.json()
        return rate


async def gateway(report: Callable[..., None]) -> None:
    """A client process of its own asks; what counts is the processor time of orchestrator and module."""
    async with stack() as (client, pid):
        command = [sys.executable, str(Path(__file__).parent / "_http_client.py"), str(client._base_url), "/hello"]
        before, before_module = time.process_time(), processor_time(pid)
        process = await asyncio.create_subprocess_exec(*command, str(SECONDS), "32", stdout=-1)
        printed, _ = await process.communicate()
        ours, modules = time.process_time() - before, processor_time(pid) - before_module
    count = json.loads(printed)
    report("HTTP through the gateway to a module, a core", count / ours, "requests/s", limit=1_200)
    report("the same, with the module's own work", count / (ours + modules), "requests/s")


async def frames(report: Callable[..., None]) -> None:
    """The same endpoint, asked over HTTP in frames from here."""
    board = Switchboard()
    async with running({"measured": {"kind": "module", "command": MODULE}}, board) as seen:
        await seen.until("measured", State.READY)
        while not (found := board.providers.all()):  # noqa: ASYNC110 - it is offered after the announcement
            await asyncio.sleep(0.02)
        instance, address = seen.modules["measured"].instance, parse_socket_address(found[0].address)
        assert instance is not None
        assert address is not None
        async with HttpTcpClient(address) as client:
            before = processor_time(instance.process.pid)
            done = await rate(lambda: client.request("GET", "/hello"), 32, SECONDS)
            spent = processor_time(instance.process.pid) - before
    report("HTTP in frames to a module, 32 in flight", done, "requests/s")
    report("… by the module's own processor time", done * SECONDS / spent, "requests/s")


async def starting(report: Callable[..., None]) -> None:
    names = [f"module-{number}" for number in range(20)]
    began = time.perf_counter()
    async with running({name: {"kind": "module", "command": MODULE} for name in names}) as seen:
        for name in names:
            await seen.until(name, State.READY)
        report("start of 20 modules until all are ready", time.perf_counter() - began, "s", limit=12)


async def idling(report: Callable[..., None]) -> None:
    """The modules are Rust's, for they cost little; over each channel goes a heartbeat every two seconds."""
    if not COUNTERPART.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        module = rust_module(Path(folder) / "record", kind={"identify": "listener", "listen": "/none"})
        async with running({f"module-{number}": module for number in range(100)}) as seen:
            for number in range(100):
                await seen.until(f"module-{number}", State.READY)
            began, before = time.perf_counter(), time.process_time()
            await asyncio.sleep(10)
            share = (time.process_time() - before) / (time.perf_counter() - began)
    report("orchestrator of 100 idle modules", 100 * share, "% of a core", limit=2)


def processor_time(pid: int) -> float:
    """Seconds it has computed so far, in all its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
