"""Channels into a running orchestrator: those of its module, and those of whoever else comes to the socket."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import listen_unix
from sdk.module_runtime.channels.tls import TlsFiles, client_context
from sdk.module_runtime.orchestrator import listeners
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.init import SocketAddress
from sdk.module_runtime.protocol.messages import Secret
from support.certificates import certificates
from support.channel_peer import PATIENCE, Peer
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.listeners import Listener
    from support.running_stack import Running

PROGRAMS = Path(__file__).parent / "programs"
ANNOUNCE = {"send": {"op": "announce", "listen": "127.0.0.1:1", "endpoints": []}}


def scripted(record: Path, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAMS / "scripted.py"), json.dumps([*steps, ANNOUNCE]), str(record)]
    return {"kind": "module", "command": command, **more}


@asynccontextmanager
async def listening(
    tmp_path: Path, board: Switchboard | None = None, tables: dict[str, Any] | None = None, **module: Any
) -> AsyncIterator[tuple[Running, Listener, Conversation]]:
    async with running({"one": scripted(tmp_path / "one", **module)}, board, **(tables or {})) as seen:
        await seen.until("one", State.READY)
        instance = seen.modules["one"].instance
        assert instance is not None
        assert instance.listener is not None
        assert instance.conversation is not None
        yield seen, instance.listener, instance.conversation


def hello(conversation: Conversation, **change: str) -> dict[str, Any]:
    return {"op": "hello", "module_id": "one", "auth_token": conversation.auth_token, **change}


def address(listener: Listener) -> SocketAddress:
    assert listener.tcp is not None
    host, _, port = listener.tcp.address.rpartition(":")
    return SocketAddress(host, int(port))


async def test_a_module_is_known_by_its_token_and_answered_bare_whether_it_wraps_or_not(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, listener, conversation):
        assert listener.ipc is not None
        assert Path(listener.ipc.socket_path).parent.stat().st_mode & 0o077 == 0
        peer = await Peer.at(listener.ipc.socket_path)
        peer.say(id=str(uuid4()), content=hello(conversation), metadata={})
        ask = {"op": "port_request", "request_id": "a", "specific_port": None}
        peer.say(id=str(uuid4()), content=ask, metadata={})
        assert (await peer.hear("port_response"))["request_id"] == "a"
        peer.say(**{**ask, "request_id": "b"})
        answer = await peer.hear("port_response")
        assert (answer["request_id"], answer["success"]) == ("b", True)
        assert conversation.channels == ["stdio", "unix"]
        peer.channel.close()
        await peer.end()
    assert not os.path.exists(listener.ipc.socket_path)  # noqa: ASYNC240 - once


@pytest.mark.parametrize(
    "first",
    [
        lambda conversation: hello(conversation, auth_token="x" * 43),
        lambda conversation: hello(conversation, module_id="two"),
        lambda _: {"op": "get_secret", "name": "KEY"},
        lambda _: {"op": "nonsense"},
        lambda _: {"op": "hello", "padding": "x" * 100_000},
    ],
    ids=["wrong token", "another module", "no hello", "nonsense", "a large frame"],
)
async def test_who_does_not_prove_itself_is_turned_away_and_the_module_serves_on(
    tmp_path: Path, first: Callable[[Conversation], dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "sdk"):
        async with listening(tmp_path) as (_, listener, conversation):
            assert listener.ipc is not None
            peer = await Peer.at(listener.ipc.socket_path)
            peer.say(**first(conversation))
            await peer.end()
            assert conversation.channels == ["stdio"]
            assert conversation.is_ready
    said = [record for record in caplog.records if record.msg in ("channel_refused", "channel_out_of_step")]
    assert said
    assert conversation.auth_token not in caplog.text
    assert "x" * 43 not in caplog.text


async def test_who_says_nothing_or_comes_too_often_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "PROOF_WITHIN", 0.5)
    async with listening(tmp_path) as (_, listener, conversation):
        assert listener.ipc is not None
        peers = [await Peer.at(listener.ipc.socket_path) for _ in range(listeners.MOST_UNPROVEN + 4)]
        reasons = [await peer.end() for peer in peers]
        assert len(reasons) == listeners.MOST_UNPROVEN + 4
        assert listener.unproven == 0
        late = await Peer.at(listener.ipc.socket_path)
        late.say(**hello(conversation))
        late.say(op="port_request", request_id="a", specific_port=None)
        await late.hear("port_response")


async def test_opening_a_socket_leaves_the_umask_of_what_else_is_started(tmp_path: Path) -> None:
    seen: list[int] = []

    async def look() -> None:
        for _ in range(20):
            mask = os.umask(0o022)
            os.umask(mask)
            seen.append(mask)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for number in range(5):
        path = str(tmp_path / f"{number}.sock")
        server = await listen_unix(Channel, path)  # type: ignore[arg-type]
        assert os.stat(path).st_mode & 0o077 == 0
        server.close()
    await looking
    assert len(set(seen)) == 1


async def test_a_flood_over_a_channel_leaves_the_orchestrator_answering(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, listener, conversation):
        assert listener.ipc is not None
        bad, good = await Peer.at(listener.ipc.socket_path), await Peer.at(listener.ipc.socket_path)
        for peer in (bad, good):
            peer.say(**hello(conversation))
        for _ in range(50_000):
            bad.say(op="heartbeat_ack")
        for _ in range(20):
            good.say(op="port_request", request_id="a", specific_port=1)
            await good.hear("port_response")


async def test_a_channel_that_answers_no_heartbeat_is_closed_while_another_does(tmp_path: Path) -> None:
    async with listening(tmp_path, hung_after=0.3) as (seen, listener, conversation):
        assert listener.ipc is not None
        dead, alive = await Peer.at(listener.ipc.socket_path), await Peer.at(listener.ipc.socket_path)
        for peer in (alive, dead):
            peer.say(**hello(conversation))

        async def answer() -> None:
            while True:
                await alive.hear("heartbeat")
                alive.say(op="heartbeat_ack")

        answering = asyncio.create_task(answer())
        await dead.end()
        assert alive.channel.is_open
        assert seen.seen.count(("one", State.STARTING)) == 1
        answering.cancel()


async def test_a_module_that_answers_no_heartbeat_at_all_is_started_again(tmp_path: Path) -> None:
    async with listening(tmp_path, hung_after=0.2, restart={"first_delay": 0.01}) as (seen, listener, conversation):
        assert listener.ipc is not None
        dead = await Peer.at(listener.ipc.socket_path)
        dead.say(**hello(conversation))
        await seen.until("one", State.READY, times=2)
        await dead.end()


async def test_a_module_that_reads_no_input_is_started_again(tmp_path: Path) -> None:
    steps = [ANNOUNCE, {"deaf": True}]
    command = [sys.executable, str(PROGRAMS / "scripted.py"), json.dumps(steps), str(tmp_path / "record")]
    restart = {"first_delay": 0.01}
    deaf = {"kind": "module", "command": command, "hung_after": 0.3, "stop_timeout": 0.2, "restart": restart}
    board = Switchboard()
    async with running({"one": deaf}, board) as seen:
        await seen.until("one", State.READY)
        board.conversations["one"].send(Secret(name="n", value="x" * 1_000_000))
        await seen.until("one", State.READY, times=2)


async def test_a_module_of_the_rust_kind_is_known_by_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "HALF_DUPLEX_HEARTBEAT", 0.05)
    board = Switchboard()
    async with listening(tmp_path, board, identify="listener", channels=["tcp"]) as (_, listener, conversation):
        peer = await Peer.at(address(listener))
        await peer.hear("heartbeat")  # before which a Rust module can send nothing
        request_id, payload = str(uuid4()), {"data": [1], "format": "Json"}
        named = {"target_module_id": "one", "target_endpoint": "self", "request_id": request_id, "payload": payload}
        peer.say(id=str(uuid4()), content={"op": "route_to_module", **named}, metadata={})
        asked = await peer.hear("routed_module_message")
        assert asked["original_request_id"] == request_id
        board.routes.answered("one", UUID(request_id), None)
        assert (await peer.hear("routed_module_response"))["source_module_id"] == "one"
        init = json.loads((tmp_path / "one").read_text().splitlines()[0])
    assert "auth_token" not in init
    assert init["security_level"] == "None"
    assert int(init["listen"].rpartition(":")[2]) > 0  # it would tell nobody which port it got for 0
    assert init["tcp_channel"]["tls_enabled"] is False
    assert not conversation.leased or board.ports.held_by("one") == []


def tls(files: dict[str, TlsFiles], **more: Any) -> dict[str, Any]:
    ours, module = files["ours server"], files["ours module"]
    assert ours.certificate is not None
    assert ours.key is not None
    return {
        "tls": {
            "ca": ours.ca,
            "certificate": ours.certificate,
            "key": ours.key,
            "module_certificate": module.certificate,
            "module_key": module.key,
            **more,
        }
    }


@pytest.mark.parametrize("is_mutual", [False, True])
async def test_where_tls_is_demanded_nothing_else_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_mutual: bool
) -> None:
    monkeypatch.setattr(listeners, "PROOF_WITHIN", 0.5)
    files = certificates(tmp_path)
    tables = tls(files, mutual=is_mutual)
    with caplog.at_level(logging.WARNING, "sdk"):
        async with listening(tmp_path, tables=tables, channels=["tcp"]) as (_, listener, conversation):
            right = await Peer.at(address(listener), client_context(files["ours module"], mutual=is_mutual))
            right.say(**hello(conversation))
            right.say(op="port_request", request_id="a", specific_port=None)
            await right.hear("port_response")
            assert conversation.channels == ["stdio", "tls"]
            plain = await Peer.at(address(listener))
            plain.say(**hello(conversation))
            await plain.end()
            if is_mutual:
                alone = TlsFiles(files["ours module"].ca)
                stranger = await Peer.at(address(listener), client_context(alone))
                await stranger.end()
            assert conversation.channels == ["stdio", "tls"]
            async with asyncio.timeout(PATIENCE):
                while "channel_refused" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                    await asyncio.sleep(0.05)
    assert conversation.auth_token not in caplog.text


@pytest.mark.parametrize("channels", [["unix"], ["tcp"], ["unix", "tcp"]])
async def test_our_own_module_opens_its_channels_and_answers_requests_there(
    tmp_path: Path, channels: list[str]
) -> None:
    board = Switchboard()
    module = {
        "kind": "module",
        "command": [sys.executable, str(PROGRAMS / "web_module.py"), "messages"],
        "channels": channels,
    }
    files = certificates(tmp_path)
    async with running({"web": module}, board, gateway={}, **tls(files, mutual=True)) as seen:
        await seen.until("web", State.READY)
        async with ClientSession(board.api) as client:
            for _ in range(3):
                async with client.get("/hello/x") as answer:
                    assert answer.status == 200
        assert board.conversations["web"].channels[0] == "stdio"
        assert len(board.conversations["web"].channels) == len(channels) + 1
