"""A real module process that opens channels to an orchestrator, which the test plays over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import listen_tcp, listen_unix
from sdk.module_runtime.channels.streams import Streams
from sdk.module_runtime.channels.tls import server_context
from sdk.module_runtime.protocol.extensions import Hello
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.messages import HttpRequest, HttpResponse
from sdk.module_runtime.protocol.packed import decode_from_module, encode, pack_message
from support.certificates import certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from sdk.module_runtime.channels.streams import IncomingStream
    from sdk.module_runtime.protocol.frame import Frame

PROGRAM = Path(__file__).parent / "echo_module.py"
INIT = {"orchestrator_api": "x", "module_id": "echo", "env": {}, "listen": "127.0.0.1:0"}
TOKEN = "a token that nobody should see"

pytestmark = pytest.mark.timeout(60)


class Orchestrator:
    """Accepts channels; what modules say there comes out of ``heard``."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[Channel, dict[str, Any]]] = asyncio.Queue()
        self.channels: asyncio.Queue[Channel] = asyncio.Queue()
        self.packed: asyncio.Queue[Frame] = asyncio.Queue()
        self.streams: Streams | None = None
        self._open: list[asyncio.Server | Channel] = []

    async def listen_unix(self, path: Path) -> None:
        self._open.append(await listen_unix(self.accept, str(path)))

    async def listen_tcp(self, context: ssl.SSLContext | None) -> int:
        server, port = await listen_tcp(self.accept, ssl=context)
        self._open.append(server)
        return port

    async def close(self) -> None:
        for each in self._open:
            each.close()
            if isinstance(each, Channel):
                await each.closed

    def accept(self) -> Channel:
        def take(frame: Frame) -> None:
            if frame.format is Format.BINARY:
                assert self.streams is not None
                self.streams.take(frame.payload)
                return
            if frame.format is Format.MESSAGE_PACK:
                self.packed.put_nowait(frame)
                return
            self.heard.put_nowait((channel, json.loads(frame.payload)))

        channel = Channel(take, message_pack=True)
        self._open.append(channel)
        channel.opened = lambda: self.channels.put_nowait(channel)
        return channel

    async def hear_packed(self) -> Frame:
        """A frame of MessagePack."""
        return await self.packed.get()

    async def hear(self) -> tuple[Channel, dict[str, Any]]:
        channel, message = await self.heard.get()
        assert set(message) == {"id", "content", "metadata"}, "a module wraps what it says on a channel"
        return channel, message["content"]

    @staticmethod
    def say(channel: Channel, **message: Any) -> None:
        channel.send(json.dumps(message).encode())


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    orchestrator = Orchestrator()
    yield orchestrator
    await orchestrator.close()


@contextlib.asynccontextmanager
async def module(**init: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, stdin=-1, stdout=-1, stderr=-1, env={"PATH": "/usr/bin:/bin"}
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(INIT | init).encode() + b"\n")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    said = await process.stdout.readline()
    assert said, await process.stderr.read()
    message = json.loads(said)
    assert isinstance(message, dict)
    return message


def _decoded(frame: Frame) -> object:
    return decode_from_module(frame.payload, frame.format)


def ask(uri: str, id_: str = "r") -> dict[str, Any]:
    return {"op": "http_request", "request_id": id_, "method": "GET", "uri": uri, "headers": {}, "body": None}


def ipc(path: Path, *, required: bool = True, ours: bool = True) -> dict[str, Any]:
    offer: dict[str, Any] = {"ipc_channel": {"socket_path": str(path), "required": required}}
    if ours:
        offer |= {"auth_token": TOKEN, "extensions": ["hello", "correlation"]}
    return offer


async def test_it_proves_itself_and_serves_over_the_channel(orchestrator: Orchestrator, tmp_path: Path) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    async with module(**ipc(tmp_path / "s")) as process:
        channel, first = await orchestrator.hear()
        assert first == {"op": "hello", "module_id": "echo", "auth_token": TOKEN}
        assert (await line(process))["op"] == "announce"
        orchestrator.say(channel, op="heartbeat")
        assert (await orchestrator.hear())[1] == {"op": "heartbeat_ack"}
        for uri in ("/nothing", "/echo?q=1"):
            orchestrator.say(channel, **ask(uri))
            _, answer = await orchestrator.hear()
            assert answer["op"] == "http_response"
            assert answer["status_code"] == (404 if uri == "/nothing" else 200), "the application answers, nobody else"
        orchestrator.say(channel, op="shutdown")
        assert await process.wait() == 0


async def test_operations_take_the_channel_and_run_side_by_side(orchestrator: Orchestrator, tmp_path: Path) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    async with module(**ipc(tmp_path / "s")):
        channel, _ = await orchestrator.hear()
        for number in range(30):
            request = ask(f"/operate/c{number % 3}", f"r{number}") | {"method": "POST", "body": list(b"%d" % number)}
            orchestrator.say(channel, **request)
        asked = [(await orchestrator.hear())[1] for _ in range(30)]
        assert {each["op"] for each in asked} == {"service_operation"}
        for each in reversed(asked):
            orchestrator.say(
                channel,
                op="service_operation_result",
                success=True,
                result=each["params"] * 2,
                error=None,
                operation_id=each["operation_id"],
            )
        answers = [(await orchestrator.hear())[1] for _ in range(30)]
        results = {each["request_id"]: json.loads(bytes(each["body"])) for each in answers}
        assert results == {f"r{number}": number * 2 for number in range(30)}


async def test_under_a_foreign_orchestrator_nothing_of_ours_is_sent(orchestrator: Orchestrator, tmp_path: Path) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    async with module(**ipc(tmp_path / "s", ours=False)) as process:
        channel = await orchestrator.channels.get()
        assert (await line(process))["op"] == "announce"
        orchestrator.say(channel, **ask("/secret/name"))
        assert await line(process) == {"op": "get_secret", "name": "name"}, "Rust answers secrets on stdio alone"
        assert orchestrator.heard.empty()


async def test_a_lost_channel_is_opened_again_and_what_was_asked_there_fails_alone(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    async with module(**ipc(tmp_path / "s")) as process:
        channel, _ = await orchestrator.hear()
        await line(process)
        process.stdin.write(json.dumps(ask("/secret/lost")).encode() + b"\n")  # type: ignore[union-attr]
        assert (await orchestrator.hear())[1] == {"op": "get_secret", "name": "lost"}
        channel.abort("cut")
        assert (await line(process))["status_code"] == 500, "nobody knows whether it was done, so it is not repeated"
        again, first = await orchestrator.hear()
        assert first["op"] == "hello"
        orchestrator.say(again, **ask("/echo"))
        assert (await orchestrator.hear())[1]["status_code"] == 200


async def test_an_answer_whose_channel_is_lost_goes_another_way(orchestrator: Orchestrator, tmp_path: Path) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    async with module(**ipc(tmp_path / "s")) as process:
        channel, _ = await orchestrator.hear()
        await line(process)
        orchestrator.say(channel, **ask("/gate", "held"))
        assert process.stderr is not None
        while b"waits at the gate" not in await process.stderr.readline():
            pass
        await orchestrator.close()
        process.stdin.write(json.dumps(ask("/open", "opener")).encode() + b"\n")  # type: ignore[union-attr]
        answers = [await line(process) for _ in range(2)]
        assert {each["request_id"]: bytes(each["body"]) for each in answers} == {"held": b"passed", "opener": b"open"}


async def test_without_its_channel_requests_go_over_stdio(tmp_path: Path) -> None:
    async with module(**ipc(tmp_path / "nobody", required=False)) as process:
        assert (await line(process))["op"] == "announce"
        process.stdin.write(json.dumps(ask("/secret/name")).encode() + b"\n")  # type: ignore[union-attr]
        assert await line(process) == {"op": "get_secret", "name": "name"}


async def test_large_data_goes_both_ways_in_chunks(orchestrator: Orchestrator, tmp_path: Path) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    async with module(**ipc(tmp_path / "s")) as process:
        channel, _ = await orchestrator.hear()
        await line(process)
        incoming: asyncio.Queue[IncomingStream] = asyncio.Queue()
        streams = Streams(channel.send, incoming.put_nowait)
        orchestrator.streams = streams
        data = bytes(range(256)) * 4000
        await streams.send(data)
        orchestrator.say(channel, **ask("/streamed"))
        assert await (await incoming.get()).read(1 << 24) == data[::-1]
        assert (await orchestrator.hear())[1]["status_code"] == 200


async def test_bytes_go_as_message_pack_once_both_ends_have_said_so(orchestrator: Orchestrator, tmp_path: Path) -> None:
    await orchestrator.listen_unix(tmp_path / "s")
    offer = ipc(tmp_path / "s") | {"extensions": ["hello", "msgpack"]}
    async with module(**offer):
        channel = await orchestrator.channels.get()
        hello = _decoded(await orchestrator.hear_packed())
        assert hello == Hello(module_id="echo", auth_token=TOKEN)
        body = bytes(range(256)) * 1000
        request = HttpRequest(request_id="r", method="POST", uri="/mirror", headers={}, body=body)
        channel.send(*encode(request, packs=True))
        frame = await orchestrator.hear_packed()
        assert len(frame.payload) < len(body) + 500
        answer = _decoded(frame)
        assert isinstance(answer, HttpResponse)
        assert answer.body == body[::-1]
        channel.send(pack_message(request), Format.MESSAGE_PACK)
        await orchestrator.hear_packed()
        orchestrator.say(channel, op="heartbeat")
        assert (await orchestrator.hear())[1] == {"op": "heartbeat_ack"}, "what carries no bytes stays JSON"


# --- what is demanded is done, or there is no channel ---


def tcp(port: int, level: str, env: dict[str, str]) -> dict[str, Any]:
    return {
        "tcp_channel": {"address": f"127.0.0.1:{port}", "tls_enabled": True, "required": True},
        "auth_token": TOKEN,
        "security_level": level,
        "extensions": ["hello"],
        "env": env,
    }


async def test_tls_with_both_sides_verified(orchestrator: Orchestrator, tmp_path: Path) -> None:
    files = certificates(tmp_path)
    port = await orchestrator.listen_tcp(server_context(files["ours server"], mutual=True))
    ours = files["ours module"]
    env = {"SDK_CHANNEL_CA": ours.ca, "SDK_CHANNEL_CERTIFICATE": ours.certificate, "SDK_CHANNEL_KEY": ours.key}
    async with module(**tcp(port, "Mtls", env)) as process:  # type: ignore[arg-type]
        channel, first = await orchestrator.hear()
        assert first["op"] == "hello"
        assert (await line(process))["op"] == "announce"
        orchestrator.say(channel, **ask("/echo"))
        assert (await orchestrator.hear())[1]["status_code"] == 200


@pytest.mark.parametrize("case", ["strangers server", "no ca", "no client key", "plain server", "no token"])
async def test_security_that_cannot_be_given_is_no_start_and_no_token_leaves(
    orchestrator: Orchestrator, tmp_path: Path, case: str
) -> None:
    files = certificates(tmp_path)
    context: ssl.SSLContext | None = server_context(files["ours server"])
    env = {"SDK_CHANNEL_CA": files["ours module"].ca}
    level = "None"
    extra: dict[str, Any] = {}
    if case == "strangers server":
        context = server_context(files["strangers server"])
    elif case == "no ca":
        env = {}
    elif case == "no client key":
        level = "Mtls"
    elif case == "plain server":
        context = None
    else:
        level, extra = "Token", {"extensions": []}
    port = await orchestrator.listen_tcp(context)
    async with module(**(tcp(port, level, env) | extra)) as process:
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"Traceback" not in errors
        assert TOKEN.encode() not in errors
        assert orchestrator.heard.empty()
