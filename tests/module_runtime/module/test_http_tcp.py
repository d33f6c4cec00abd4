"""HTTP in frames between our own ends, over real sockets: who asks, who answers, and who attacks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels import http_tcp_server as served
from sdk.module_runtime.channels import tls
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.http_tcp import (
    CROWDED,
    SAFE,
    HttpTcpClient,
    HttpTcpFailed,
    checked_headers,
    with_query,
)
from sdk.module_runtime.channels.http_tcp_server import serving_frames
from sdk.module_runtime.channels.sockets import connect, listen_tcp
from sdk.module_runtime.channels.tls import client_context
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, NotSent, ProtocolError
from sdk.module_runtime.module.http import serving
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.stack import parse_stack
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.formats import Format, convert
from sdk.module_runtime.protocol.frame import HEADER, Frame, encode_frame
from sdk.module_runtime.protocol.http_tcp import (
    HttpTcpRequest,
    HttpTcpResponse,
    decode_request,
    decode_response,
    wrapped,
)
from sdk.module_runtime.protocol.init import SocketAddress, parse_socket_address
from sdk.service.http_app import listen
from support.certificates import certificates
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sdk.module_runtime.channels.http_tcp_server import HttpTcpServer

PATIENCE = 20.0


class Application:
    """``release`` lets ``/slow`` go; ``entered`` counts who waits there."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.entered = 0
        self.seen: list[str] = []
        self.app = web.Application()
        self.app.router.add_route("*", "/echo", self._echo)
        self.app.router.add_get("/slow", self._slow)
        self.app.router.add_get("/large/{size}", self._large)
        self.app.router.add_get("/told", self._told)
        self.app.router.add_get("/number/{number}", self._number)

    async def _echo(self, request: web.Request) -> web.Response:
        self.seen.append(request.method)
        body = await request.read()
        seen = {"method": request.method, "query": list(request.query.items()), "body": body.decode("latin-1")}
        return web.json_response({**seen, "header": request.headers.get("X-Mark")}, status=201)

    async def _slow(self, request: web.Request) -> web.Response:
        self.entered += 1
        await self.release.wait()
        return web.Response(text="done")

    async def _told(self, request: web.Request) -> web.Response:
        answer = web.json_response(dict(request.headers))
        answer.set_cookie("session", "of whoever asked first")
        return answer

    async def _large(self, request: web.Request) -> web.Response:
        return web.Response(body=b"\xff" * int(request.match_info["size"]))

    async def _number(self, request: web.Request) -> web.Response:
        return web.json_response(int(request.match_info["number"]))


@asynccontextmanager
async def answering(
    address: str = "127.0.0.1:0", environ: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Application, HttpTcpServer, SocketAddress | str]]:
    made, stopping = Application(), asyncio.Event()
    async with (
        serving(made.app, None, drain=1) as http,
        serving_frames(http, address, stopping, environ or {}) as server,
    ):
        assert server.address is not None
        yield made, server, parse_socket_address(server.address) or server.address


@asynccontextmanager
async def scripted(answer: Callable[[Channel, Frame], None]) -> AsyncIterator[SocketAddress]:
    """A server that does with each frame what a test says."""
    channels: list[Channel] = []

    def accept() -> Channel:
        channel = Channel(lambda frame: answer(channel, frame))
        channels.append(channel)
        return channel

    server, port = await listen_tcp(accept)
    try:
        yield SocketAddress("127.0.0.1", port)
    finally:
        server.close()
        for channel in channels:
            channel.abort("the test ends")
        await asyncio.gather(*(channel.closed for channel in channels))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - some turns of this very loop
            await asyncio.sleep(0.005)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


# --- between our own ends ---


async def test_a_request_is_answered_by_the_application_and_what_it_sends_is_carried_whole() -> None:
    async with answering() as (_, _, address), HttpTcpClient(address) as client:
        answer = await client.request(
            "POST", "/echo?a=1", query={"näme": "x&y=z", "n": 2}, headers={"X-Mark": "grün"}, body=bytes(range(256))
        )
        assert answer.status_code == 201
        assert answer.headers["Content-Type"].startswith("application/json")
        assert json.loads(answer.body or b"") == {
            "method": "POST",
            "query": [["a", "1"], ["näme", "x&y=z"], ["n", "2"]],
            "body": bytes(range(256)).decode("latin-1"),
            "header": "grün",
        }


async def test_it_is_served_over_a_unix_socket_too(tmp_path: Path) -> None:
    async with answering(str(tmp_path / "frames")) as (_, _, address), HttpTcpClient(address) as client:
        assert await client.request_json("GET", "/number/7") == 7
        with pytest.raises(HttpTcpFailed, match="404"):
            await client.request_json("GET", "/nowhere")
        head = await client.request("HEAD", "/number/7")
        assert (head.status_code, head.body) == (200, None)


async def test_many_requests_share_few_connections_and_each_gets_its_own_answer() -> None:
    async with answering() as (made, server, address), HttpTcpClient(address, connections=3) as client:
        slow = [asyncio.create_task(client.request("GET", "/slow")) for _ in range(3 * CROWDED)]
        numbers = range(100)
        got = await asyncio.gather(*(client.request_json("GET", f"/number/{number}") for number in numbers))
        assert got == list(numbers)
        assert len(server._peers) == 3
        made.release.set()
        assert {answer.body for answer in await asyncio.gather(*slow)} == {b"done"}


async def test_the_application_hears_what_was_sent_and_nothing_of_who_asked_before() -> None:
    async with answering() as (_, _, address), HttpTcpClient(address) as client:
        assert "session=" in (await client.request("GET", "/told")).headers["Set-Cookie"]
        assert await client.request_json("GET", "/told", headers={"X-Mark": "a"}) == {"Host": "module", "X-Mark": "a"}


async def test_a_slow_answer_does_not_hold_up_those_behind_it() -> None:
    async with answering() as (made, _, address), HttpTcpClient(address, connections=1) as client:
        slow = asyncio.create_task(client.request("GET", "/slow"))
        await until(lambda: made.entered == 1)
        assert await client.request_json("GET", "/number/1") == 1
        made.release.set()
        assert (await slow).body == b"done"


async def test_requests_in_flight_end_before_the_module_does_and_new_ones_are_told_so() -> None:
    made, stopping = Application(), asyncio.Event()
    async with (
        serving(made.app, None, drain=1) as http,
        serving_frames(http, "127.0.0.1:0", stopping, {}) as server,
        HttpTcpClient(parse_socket_address(server.address or "") or "") as client,
    ):
        slow = asyncio.create_task(client.request("GET", "/slow"))
        await until(lambda: made.entered == 1)
        stopping.set()
        assert (await client.request("GET", "/number/1")).status_code == 503
        draining = asyncio.create_task(server.drain(PATIENCE))
        made.release.set()
        await draining
        assert (await slow).body == b"done"


async def test_tls_is_demanded_beyond_this_machine_and_a_stranger_gets_no_answer(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs TLS"):
        async with answering("0.0.0.0:0"):
            pass
    files = certificates(tmp_path)
    ours = files["ours server"]
    environ = {tls.CA: ours.ca, tls.CERTIFICATE: ours.certificate or "", tls.KEY: ours.key or ""}
    async with answering(environ=environ) as (_, server, address):
        async with HttpTcpClient(address, ssl=client_context(files["ours module"], mutual=True)) as client:
            assert await client.request_json("GET", "/number/3") == 3
        async with HttpTcpClient(address, retries=0, timeout=PATIENCE) as plain:
            with pytest.raises(LinkClosed):
                await plain.request("GET", "/number/3")
        assert not server._peers


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1", ""])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="give ip:port"):
        async with answering(address):
            pass


# --- asked again, or not ---


async def no_sleep(_seconds: float) -> None:
    """The pause between attempts is tested where it is computed."""


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
async def test_only_what_changes_nothing_is_asked_again_after_a_connection_is_lost(method: str) -> None:
    asked: list[str] = []

    def lose_two(channel: Channel, frame: Frame) -> None:
        request = decode_request(frame)
        asked.append(request.request_id)
        if len(asked) < 3:
            channel.abort("lost")
        else:
            channel.send(wrapped(HttpTcpResponse(request_id=request.request_id, status_code=204, headers={})))

    async with scripted(lose_two) as address, HttpTcpClient(address, sleep=no_sleep) as client:
        if method in SAFE:
            assert (await client.request(method, "/")).status_code == 204
            assert len(set(asked)) == 3
        else:
            with pytest.raises(LinkClosed):
                await client.request(method, "/")
            assert len(asked) == 1


async def test_what_did_not_leave_is_sent_again_whatever_it_does_and_each_pause_is_longer() -> None:
    async with answering() as (made, _, address):
        pauses: list[float] = []
        assert isinstance(address, SocketAddress)
        nobody, port = await listen_tcp(lambda: Channel(lambda _: None))
        nobody.close()
        await nobody.wait_closed()

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                client._address = address

        async with HttpTcpClient(
            SocketAddress("127.0.0.1", port), retries=2, sleep=sleep, jitter=lambda: 0.5
        ) as client:
            assert (await client.request("POST", "/echo")).status_code == 201
        assert pauses == pytest.approx([0.1, 0.2])
        assert made.seen == ["POST"]
        async with HttpTcpClient(SocketAddress("127.0.0.1", port), retries=1, sleep=sleep) as client:
            with pytest.raises(NotSent):
                await client.request("POST", "/echo")


async def test_a_server_that_never_answers_costs_the_time_limit_and_its_late_answer_is_nobodys() -> None:
    held: list[tuple[Channel, str]] = []

    def hold_first(channel: Channel, frame: Frame) -> None:
        request = decode_request(frame)
        held.append((channel, request.request_id))
        if len(held) > 1:
            for each, request_id in held:
                body = b"late" if request_id == held[0][1] else b"own"
                each.send(wrapped(HttpTcpResponse(request_id=request_id, status_code=200, headers={}, body=body)))

    async with scripted(hold_first) as address, HttpTcpClient(address, connections=1, retries=0) as client:
        with pytest.raises(LinkTimeout, match=r"POST within 0\.05 seconds"):
            await client.request("POST", "/", timeout=0.05)
        assert (await client.request("GET", "/")).body == b"own"
        assert len({channel for channel, _ in held}) == 1


# --- servers that cannot be believed ---


def text(request_id: str, **more: Any) -> bytes:
    return json.dumps({"request_id": request_id, "status_code": 200, "headers": {}, **more}).encode()


LIES: dict[str, Callable[[str], bytes]] = {
    "an id that was never asked for": lambda _: wrapped(
        HttpTcpResponse(request_id="other", status_code=200, headers={})
    ),
    "no JSON": lambda _: b"no",
    "bare": text,
    "a body as text": lambda id_: b'{"id":"11223344-5566-4788-89aa-bbccddeeff09","content":%b}' % text(id_, body="hi"),
    "a status over 16 bits": lambda id_: (
        b'{"id":"11223344-5566-4788-89aa-bbccddeeff09","content":%b}' % text(id_, status_code=70000)
    ),
    "a member twice": lambda id_: (
        b'{"id":"11223344-5566-4788-89aa-bbccddeeff09","content":{"request_id":"x",%b}' % text(id_)[1:]
    ),
    "a body that is too long": lambda id_: wrapped(
        HttpTcpResponse(request_id=id_, status_code=200, headers={}, body=b"x" * 1001)
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_is_none_ends_the_connection_and_reaches_nobody(lie: str) -> None:
    def answer(channel: Channel, frame: Frame) -> None:
        channel.send(LIES[lie](decode_request(frame).request_id))

    async with scripted(answer) as address, HttpTcpClient(address, retries=0, largest_body=1000) as client:
        with pytest.raises(LinkClosed):
            await client.request("GET", "/")


async def test_a_status_that_is_none_is_an_error_of_that_request_alone() -> None:
    def answer(channel: Channel, frame: Frame) -> None:
        request = decode_request(frame)
        status = 99 if request.uri == "/odd" else 200
        channel.send(wrapped(HttpTcpResponse(request_id=request.request_id, status_code=status, headers={})))

    async with scripted(answer) as address, HttpTcpClient(address) as client:
        with pytest.raises(ProtocolError, match="status 99"):
            await client.request("GET", "/odd")
        assert (await client.request("GET", "/even")).status_code == 200


@pytest.mark.parametrize("what", ["a frame over the limit", "a format that is none", "half a frame"])
async def test_bytes_that_are_no_frames_end_the_connection(what: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        bad = {
            "a frame over the limit": HEADER.pack(1 << 31, 1),
            "a format that is none": HEADER.pack(2, 9) + b"{}",
            "half a frame": encode_frame(Frame(Format.JSON, b"{}" * 50))[:40],
        }[what]
        writer.write(bad)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = SocketAddress(*server.sockets[0].getsockname())
    async with HttpTcpClient(address, retries=0, timeout=PATIENCE) as client:
        with pytest.raises(LinkClosed):
            await client.request("GET", "/")
    server.close()
    await server.wait_closed()


# --- clients that mean no good ---


@asynccontextmanager
async def attacker(address: SocketAddress | str) -> AsyncIterator[tuple[Channel, asyncio.Queue[HttpTcpResponse]]]:
    answers: asyncio.Queue[HttpTcpResponse] = asyncio.Queue()
    channel = await connect(lambda: Channel(lambda frame: answers.put_nowait(decode_response(frame))), address)
    try:
        yield channel, answers
    finally:
        channel.abort("the test ends")
        await channel.closed


def request(request_id: str = "r", method: str = "GET", uri: str = "/number/1", **headers: str) -> bytes:
    return wrapped(HttpTcpRequest(request_id=request_id, method=method, uri=uri, headers=headers))


@pytest.mark.parametrize(
    "payload",
    [
        b"no",
        b"{}",
        b'{"request_id":"r","method":"GET","uri":"/number/1","headers":{}}',
        request()[:-2],
        json.dumps({"id": "x", "content": {}}).encode(),
    ],
)
async def test_what_is_no_request_ends_the_connection_and_no_other(payload: bytes) -> None:
    async with answering() as (_, _, address), attacker(address) as (bad, _), attacker(address) as (good, answers):
        bad.send(payload)
        await asyncio.wait_for(asyncio.shield(bad.closed), PATIENCE)
        good.send(request())
        assert (await asyncio.wait_for(answers.get(), PATIENCE)).body == b"1"


@pytest.mark.parametrize(
    ("method", "uri", "headers"),
    [
        ("GET", "number/1", {}),
        ("GET", "http://elsewhere/", {}),
        ("GE T", "/number/1", {}),
        ("GET", "/number/1", {"X\r\nY": "z"}),
        ("GET", "/number/1", {"X": "a\r\nB: c"}),
        ("GET", "/number/1\r\nX: y", {}),
    ],
)
async def test_a_request_that_http_cannot_carry_is_answered_with_400(
    method: str, uri: str, headers: dict[str, str]
) -> None:
    async with answering() as (_, _, address), attacker(address) as (channel, answers):
        channel.send(request("r", method, uri, **headers))
        answer = await asyncio.wait_for(answers.get(), PATIENCE)
        assert (answer.request_id, answer.status_code) == ("r", 400)


async def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    async with answering() as (_, _, address):
        assert isinstance(address, SocketAddress)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(HEADER.pack(served.LARGEST_FRAME + 1, 1))
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        await writer.wait_closed()


async def test_a_flood_waits_on_its_own_side_and_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "MOST_OF_ONE", 4)
    async with (
        answering() as (made, server, address),
        attacker(address) as (flood, answers),
        HttpTcpClient(address) as client,
    ):
        for number in range(4):
            flood.send(request(f"s{number}", uri="/slow"))
        await until(lambda: made.entered == 4)
        (peer,) = server._peers
        assert peer._is_held
        for number in range(100):
            flood.send(request(f"n{number}"))
        assert await client.request_json("GET", "/number/5") == 5
        assert answers.empty()
        made.release.set()
        got = {(await asyncio.wait_for(answers.get(), PATIENCE)).request_id for _ in range(104)}
        assert got == {f"s{number}" for number in range(4)} | {f"n{number}" for number in range(100)}


async def test_who_stops_within_a_frame_is_cut_and_who_is_only_idle_is_not() -> None:
    async with answering() as (_, server, address), attacker(address) as (idle, answers):
        assert isinstance(address, SocketAddress)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(encode_frame(Frame(Format.JSON, request()))[:20])
        await until(lambda: any(peer.channel.is_within_frame for peer in server._peers))
        for _ in range(2):
            for peer in list(server._peers):
                peer.sweep()
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        await closed(writer)
        idle.send(request())
        assert (await asyncio.wait_for(answers.get(), PATIENCE)).status_code == 200


async def test_who_does_not_read_is_not_read_and_then_cut() -> None:
    async with answering() as (_, server, address), HttpTcpClient(address) as client:
        assert isinstance(address, SocketAddress)
        _, writer = await asyncio.open_connection(*address, limit=1)
        for _ in range(4):
            writer.write(encode_frame(Frame(Format.JSON, request(uri="/large/2000000"))))
        await until(lambda: any(peer._reading is not None for peer in server._peers))
        assert await client.request_json("GET", "/number/5") == 5
        (slow,) = (peer for peer in server._peers if peer._reading is not None)
        await until(lambda: not server._requests._tasks)
        slow.sweep()
        slow.sweep()
        await asyncio.wait_for(asyncio.shield(slow.channel.closed), PATIENCE)
        await closed(writer)


async def test_more_connections_than_there_may_be_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "MOST_CONNECTIONS", 2)
    async with answering() as (_, _, address), attacker(address), attacker(address), attacker(address) as (third, _):
        await asyncio.wait_for(asyncio.shield(third.closed), PATIENCE)


# --- the texts ---

IDS = st.text(max_size=40).filter(lambda each: each.isprintable())
HEADERS = st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=4)
BODIES = st.none() | st.binary(max_size=200)
FORMATS = st.sampled_from([Format.JSON, Format.BASE64, Format.BINARY])


def framed(payload: bytes, format_: Format) -> Frame:
    return Frame(format_, convert(payload, Format.JSON, format_))


@given(IDS, st.text(max_size=9), st.text(max_size=40), HEADERS, BODIES, FORMATS)
def test_a_request_is_read_as_it_was_written_in_every_format(
    request_id: str, method: str, uri: str, headers: dict[str, str], body: bytes | None, format_: Format
) -> None:
    made = HttpTcpRequest(request_id=request_id, method=method, uri=uri, headers=headers, body=body)
    assert decode_request(framed(wrapped(made), format_)) == made
    assert (b'"body"' in made.to_json()) >= (body is not None)


@given(IDS, st.integers(0, 0xFFFF), HEADERS, BODIES, FORMATS)
def test_an_answer_is_read_as_it_was_written_in_every_format(
    request_id: str, status: int, headers: dict[str, str], body: bytes | None, format_: Format
) -> None:
    made = HttpTcpResponse(request_id=request_id, status_code=status, headers=headers, body=body)
    assert decode_response(framed(wrapped(made), format_)) == made


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_protocol_error(payload: bytes) -> None:
    for format_ in (Format.JSON, Format.BINARY, Format.BASE64):
        with pytest.raises(ProtocolError):
            decode_request(Frame(format_, payload))


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(
    TEXTS.filter(lambda each: "?" not in each and "#" not in each and "%" not in each),
    st.lists(st.tuples(TEXTS, TEXTS)),
)
@example("&", [("", "")])
@settings(max_examples=200)
def test_a_query_is_encoded_so_that_the_server_reads_the_same_pairs(path: str, pairs: list[tuple[str, str]]) -> None:
    target = with_query("/" + path, pairs)
    assert target.isascii()
    assert not set(target) & set(' "<>\\^`{|}\r\n')
    url = URL("http://module" + target, encoded=True)
    assert list(url.query.items()) == pairs
    assert url.path == "/" + path


@pytest.mark.parametrize(
    ("uri", "target"), [("/a", "/a?b=1"), ("/a?", "/a?b=1"), ("/a?c=2", "/a?c=2&b=1"), ("/a?c=2&", "/a?c=2&b=1")]
)
def test_a_query_is_added_to_the_one_that_stands_there(uri: str, target: str) -> None:
    assert with_query(uri, {"b": 1}) == target


@pytest.mark.parametrize("uri", ["", "x", "http://a/", "/a#b", "/a\r\nX: y", "/\x00"])
def test_a_uri_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="uri"):
        with_query(uri, None)


@pytest.mark.parametrize(
    ("method", "headers"), [("GE T", {}), ("", {}), ("GET", {"a b": "c"}), ("GET", {"": "c"}), ("GET", {"a": "b\nc"})]
)
def test_a_method_or_header_that_http_cannot_carry_is_refused(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="HTTP"):
        checked_headers(method, headers)


# --- in a stack ---


async def test_modules_of_a_stack_find_and_ask_one_another_in_frames() -> None:
    program = {"kind": "module", "command": [sys.executable, str(Path(__file__).parent / "framed_neighbour.py")]}
    board = Switchboard()
    async with running({"one": program, "two": {**program, "mount": "/two"}}, board, gateway={}) as seen:
        for name in ("one", "two"):
            await seen.until(name, State.READY)
        async with asyncio.timeout(PATIENCE):
            while len(board.providers.all()) < 2:  # noqa: ASYNC110 - it is offered after the announcement
                await asyncio.sleep(0.02)
        async with ClientSession(board.api) as client:
            async with client.get("/sum/two?n=40&n=2") as answer:
                assert await answer.json() == {"sum": 42, "by": "two"}
            async with client.get("/sum/three?n=1") as answer:
                assert (answer.status, "no HTTP in frames" in await answer.text()) == (502, True)


async def test_the_gateway_answers_in_frames_what_it_answers_on_its_port() -> None:
    program = {"kind": "module", "command": [sys.executable, str(Path(__file__).parent / "framed_neighbour.py")]}
    with listen("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    async with running({"one": program}, gateway={"http_tcp": f"127.0.0.1:{port}"}) as seen:
        await seen.until("one", State.READY)
        async with HttpTcpClient(SocketAddress("127.0.0.1", port)) as client:
            answer = await client.request_json("GET", "/add", query=[("n", 1), ("n", 2)])
            assert answer == {"sum": 3, "by": "one"}
            with pytest.raises(HttpTcpFailed, match="404"):
                await client.request_json("GET", "/nowhere")


def test_the_gateway_answers_in_frames_on_this_machine_alone() -> None:
    modules = {"one": {"kind": "module", "command": ["x"]}}
    with pytest.raises(ConfigurationError, match="of this machine"):
        parse_stack({"modules": modules, "gateway": {"http_tcp": "0.0.0.0:8081"}}, "test")
