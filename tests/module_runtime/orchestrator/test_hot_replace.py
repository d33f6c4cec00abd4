"""Who asks while a module is replaced, restarted or killed: nobody is refused a connection."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.orchestrator import run_stack
from sdk.module_runtime.orchestrator.stack import parse_stack
from sdk.module_runtime.orchestrator.supervisor import NotReplaced
from sdk.module_runtime.orchestrator.upstream import address_of
from support.commands import taken_port
from support.running_stack import PATIENCE, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROGRAMS = Path(__file__).parent / "programs"
WEB = {
    "kind": "module",
    "command": [sys.executable, str(PROGRAMS / "web_module.py")],
    "inherit": True,
    "restart": {"first_delay": 0.01},
}
PLAIN = {
    "command": [sys.executable, str(PROGRAMS / "plain_command.py"), "${port}"],
    "ready_url": "http://127.0.0.1:${port}/ready",
    "mount": "/plain",
    "restart": {"first_delay": 0.01},
}

SHUTS_DOWN = """
import http.server, os, pathlib, socket, sys
assert (os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]) == (str(os.getpid()), "1")
inherited, mark = socket.socket(fileno=3), pathlib.Path(sys.argv[1])
if not mark.exists():
    mark.touch()
    inherited.shutdown(socket.SHUT_RDWR)
    sys.exit(1)
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler, bind_and_activate=False)
server.socket = inherited
server.serve_forever()
"""

pytestmark = pytest.mark.timeout(120)


class Asked:
    """What became of each request, by what it said: a status, or the name of an error."""

    def __init__(self) -> None:
        self.pids: set[str] = set()
        self.statuses: list[int] = []
        self.errors: list[Exception] = []

    async def until_more(self, count: int = 20) -> None:
        wanted = len(self.statuses) + count
        async with asyncio.timeout(PATIENCE):
            while len(self.statuses) < wanted:  # noqa: ASYNC110 - others ask all the while
                await asyncio.sleep(0.01)


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Asked]:
    """Four who ask all the time, each on a new connection."""
    asked, stopping = Asked(), asyncio.Event()

    async def ask(client: ClientSession) -> None:
        while not stopping.is_set():
            try:
                async with client.get(url) as answer:
                    asked.statuses.append(answer.status)
                    if answer.status == 200:
                        found: Any = await answer.json(content_type=None)
                        asked.pids.add(str(found["pid"] if isinstance(found, dict) else found))
            except (ClientError, OSError) as error:
                asked.errors.append(error)

    connector = TCPConnector(force_close=True)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=PATIENCE)) as client:
        tasks = [asyncio.create_task(ask(client)) for _ in range(4)]
        try:
            await asked.until_more()
            yield asked
            await asked.until_more()
        finally:
            stopping.set()
            await asyncio.gather(*tasks)


async def test_a_module_that_inherits_its_socket_refuses_nobody_whatever_happens_to_it() -> None:
    async with running({"web": WEB}) as seen:
        await seen.until("web", State.READY)
        module = seen.modules["web"]
        assert module.instance is not None
        address = module.instance.address
        async with asking(f"http://{address}/hello/you") as asked:
            await module.replace()
            await asked.until_more()
            await module.restart()
            await asked.until_more()
            assert (asked.errors, set(asked.statuses)) == ([], {200})
            os.kill(module.instance.process.pid, signal.SIGKILL)
            await seen.until("web", State.READY, 3)
            await asked.until_more()
        assert module.instance.address == address
        assert len(asked.pids) == 4
        assert not any(isinstance(error, ClientConnectorError) for error in asked.errors)


async def test_a_module_that_listens_at_all_addresses_is_asked_at_its_port_by_the_gateway() -> None:
    async with running({"web": {**WEB, "listen": "0.0.0.0:0"}}, gateway={}) as seen:
        await seen.until("web", State.READY)
        assert seen.orchestrator is not None
        instance = seen.modules["web"].instance
        assert instance is not None
        assert instance.address is not None
        port = int(instance.address.rpartition(":")[2])
        assert address_of(instance.conversation) == ("127.0.0.1", port)
        async with ClientSession(seen.orchestrator.board.api) as client, client.get("/hello/you") as answer:
            assert answer.status == 200


async def test_a_plain_command_is_replaced_and_the_gateway_answers_all_the_while() -> None:
    async with running({"plain": PLAIN}, gateway={}) as seen:
        await seen.until("plain", State.READY)
        assert seen.orchestrator is not None
        module, board = seen.modules["plain"], seen.orchestrator.board
        first = board.urls["plain"]
        async with asking(f"{board.api}/plain/x") as asked:
            await module.replace()
            await asked.until_more()
        assert (asked.errors, set(asked.statuses)) == ([], {200})
        assert len(asked.pids) == 2
        assert board.urls["plain"] != first
        assert len(board.ports.held_by("plain")) == 1


async def test_a_command_that_crashes_is_started_again_at_its_port() -> None:
    async with running({"plain": PLAIN}) as seen:
        await seen.until("plain", State.READY)
        module = seen.modules["plain"]
        assert module.instance is not None
        address = module.instance.address
        os.kill(module.instance.process.pid, signal.SIGKILL)
        await seen.until("plain", State.READY, 2)
        assert module.instance.address == address


async def test_a_socket_that_one_instance_shuts_down_serves_the_next(unused_tcp_port: int, tmp_path: Path) -> None:
    command = {
        "command": [sys.executable, "-c", SHUTS_DOWN, str(tmp_path / "was here")],
        "ready_url": f"http://127.0.0.1:{unused_tcp_port}/",
        "listen": f"127.0.0.1:{unused_tcp_port}",
        "inherit": True,
        "restart": {"first_delay": 0.01},
    }
    async with running({"plain": command}) as seen:
        await seen.until("plain", State.READY)
        assert seen.modules["plain"].restarts == 1


async def test_a_command_that_is_always_asked_at_the_same_place_cannot_be_replaced(unused_tcp_port: int) -> None:
    fixed = {**PLAIN, "command": [*PLAIN["command"][:2], str(unused_tcp_port)]}  # type: ignore[index]
    fixed["ready_url"] = f"http://127.0.0.1:{unused_tcp_port}/ready"
    async with running({"plain": fixed}) as seen:
        await seen.until("plain", State.READY)
        with pytest.raises(NotReplaced, match=r"let its command and ready_url name \$\{port\}"):
            await seen.modules["plain"].replace()


async def test_a_socket_that_cannot_be_had_is_named_before_anything_starts() -> None:
    with taken_port() as port:
        stack = parse_stack({"modules": {"web": {**WEB, "listen": f"127.0.0.1:{port}"}}}, "test")
        with pytest.raises(ConfigurationError, match=rf"modules\.web\.listen: port {port} .* is taken"):
            await run_stack(stack, asyncio.Event())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"listen": "web.sock"}, "inherit needs an ip:port"),
        ({"identify": "listener"}, "takes no socket"),
        ({"inherit": False, "environment": {"A": "${port}"}}, "is for commands"),
    ],
)
def test_what_cannot_be_inherited_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_stack({"modules": {"web": WEB | change}}, "test")
