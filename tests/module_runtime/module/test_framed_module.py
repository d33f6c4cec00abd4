"""A module under an orchestrator of the Rust wire alone: it registers, advertises, beats, and is asked in frames."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiohttp import web

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import listen_tcp
from sdk.module_runtime.module.context import ServeOptions
from sdk.module_runtime.module.membership import OrchestratorAddress
from sdk.module_runtime.module.program import ORCHESTRATOR
from sdk.module_runtime.module.registered import run_registered
from sdk.module_runtime.module.registration import RegistrationRefused
from sdk.module_runtime.protocol.http_tcp import HttpTcpRequest, decode_response, wrapped
from sdk.module_runtime.protocol.init import SocketAddress
from sdk.module_runtime.protocol.registration import ModuleInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sdk.module_runtime.module.context import ModuleContext
    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.http_tcp import HttpTcpResponse

PROGRAM = Path(__file__).parent / "echo_module.py"
PATIENCE = 30.0


class RustWire:
    """``asked`` are the requests it got, in order; ``quiet`` connections are for HTTP."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[dict[str, Any]] = []
        self.channels: list[Channel] = []
        self.spoke: set[Channel] = set()
        self.answers: dict[str, asyncio.Future[HttpTcpResponse]] = {}
        self.known: set[str] = set()
        self.refuse: str | None = None
        self.host = "127.0.0.1"

    def accept(self) -> Channel:
        channel = Channel(lambda frame: self._take(channel, frame))
        self.channels.append(channel)
        return channel

    def _take(self, channel: Channel, frame: Frame) -> None:
        content = json.loads(frame.payload)["content"]
        if "status_code" in content:
            answer = decode_response(frame)
            self.answers[answer.request_id].set_result(answer)
            return
        self.spoke.add(channel)
        self.asked.append(content)
        channel.send(json.dumps(self._answer(content)).encode())

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        kind = request["request_type"]
        answer: dict[str, Any] = {"response_type": kind, "success": True}
        if self.refuse == kind:
            answer |= {"success": False, "error": "not today"}
        elif kind == "register":
            id_ = str(uuid4())
            self.known.add(id_)
            info = request["module_info"]
            place = {"orchestrator_host": self.host, "orchestrator_port": self.port}
            answer["module"] = {"info": info, "id": id_, "token": f"token of {id_}", **place}
        elif request["module_id"] not in self.known or request["token"] != f"token of {request['module_id']}":
            answer |= {"success": False, "error": "who?"}
        return answer | ({"status": "Healthy"} if kind == "heartbeat" else {})

    @property
    def kinds(self) -> list[str]:
        return [each["request_type"] for each in self.asked]

    @property
    def quiet(self) -> list[Channel]:
        return [each for each in self.channels if each.is_open and each not in self.spoke]

    async def until(self, count: int, kind: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.kinds.count(kind) < count:  # noqa: ASYNC110 - what a module does has no event here
                await asyncio.sleep(0.01)

    async def ask(self, method: str, uri: str, body: bytes | None = None) -> HttpTcpResponse:
        async with asyncio.timeout(PATIENCE):
            while not self.quiet:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            request = HttpTcpRequest(request_id=str(uuid4()), method=method, uri=uri, headers={}, body=body)
            answer: asyncio.Future[HttpTcpResponse] = asyncio.get_running_loop().create_future()
            self.answers[request.request_id] = answer
            self.quiet[0].send(wrapped(request))
            return await answer


@asynccontextmanager
async def rust_wire() -> AsyncIterator[RustWire]:
    made = RustWire()
    server, made.port = await listen_tcp(made.accept)
    try:
        yield made
    finally:
        server.close()
        for channel in made.channels:
            channel.abort("the test ends")
        await asyncio.gather(*(channel.closed for channel in made.channels))


async def test_a_process_registers_advertises_answers_and_unregisters_when_it_is_told_to_end() -> None:
    environ = {"PATH": "/usr/bin:/bin", "SDK_MODULE_LISTEN": "127.0.0.1:0"}
    async with rust_wire() as orchestrator:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            PROGRAM,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=-1,
            stderr=-1,
            env={**environ, ORCHESTRATOR: f"127.0.0.1:{orchestrator.port}"},
        )
        try:
            await orchestrator.until(1, "capabilities")
            assert orchestrator.kinds == ["register", "capabilities"]
            paths = [each["path"] for each in orchestrator.asked[1]["capabilities"]["endpoints"]]
            assert "/echo" in paths
            answer = await orchestrator.ask("GET", "/echo?q=1")
            assert json.loads(answer.body or b"")["query"] == "q=1"
            orchestrator.quiet[0].abort("lost")
            answer = await orchestrator.ask("GET", "/echo?q=2")  # over a connection it has opened anew
            assert json.loads(answer.body or b"")["query"] == "q=2"
            process.terminate()
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
            assert orchestrator.kinds[-1] == "unregister"
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def build(context: ModuleContext) -> web.Application:
    assert context.link is None  # the wire has no secrets and services for it
    return web.Application()


async def serve(orchestrator: RustWire, listen: str = "127.0.0.1") -> None:
    place = OrchestratorAddress(SocketAddress("127.0.0.1", orchestrator.port), None, None)
    info = ModuleInfo(name="calc", version="1", description="adds")
    address = SocketAddress(listen, 0)
    await run_registered(build, info, (), ServeOptions(), place, address, {}, beat_every=0.02)


async def test_it_beats_and_registers_and_advertises_anew_where_nobody_knows_it_any_more() -> None:
    async with rust_wire() as orchestrator:
        serving = asyncio.create_task(serve(orchestrator))
        await orchestrator.until(3, "heartbeat")
        assert orchestrator.kinds.count("register") == 1
        orchestrator.known.clear()
        await orchestrator.until(2, "capabilities")
        assert orchestrator.kinds.count("register") == 2
        await orchestrator.until(orchestrator.kinds.count("heartbeat") + 2, "heartbeat")
        assert orchestrator.kinds.count("register") == 2
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        assert orchestrator.kinds[-1] == "unregister"


@pytest.mark.parametrize("what", ["register", "capabilities"])
async def test_a_refusal_at_the_start_is_an_error_with_its_reason(what: str) -> None:
    async with rust_wire() as orchestrator:
        orchestrator.refuse = what
        with pytest.raises(RegistrationRefused, match="not today"):
            await serve(orchestrator)
        assert orchestrator.kinds[-1] == ("unregister" if what == "capabilities" else "register")


@pytest.mark.parametrize(("host", "reason"), [("somewhere", "no ip:port"), ("192.0.2.1", "needs TLS")])
async def test_it_goes_to_no_other_machine_in_clear_because_it_was_told_to(host: str, reason: str) -> None:
    async with rust_wire() as orchestrator:
        orchestrator.host = host
        with pytest.raises(ConfigurationError, match=reason):
            await serve(orchestrator)
