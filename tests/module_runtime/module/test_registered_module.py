"""A real module process that nobody started registers with a real orchestrator over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from sdk.module_runtime.channels import tls
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import listen_tcp
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ProtocolError
from sdk.module_runtime.module.membership import KEY
from sdk.module_runtime.module.program import ORCHESTRATOR
from sdk.module_runtime.module.registration import Registration, RegistrationRefused
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.init import SocketAddress
from sdk.module_runtime.protocol.registration import ModuleInfo
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.http_app.server import listen
from sdk.service.migrations import upgrade
from support.certificates import certificates
from support.running_stack import PATIENCE, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sdk.module_runtime.protocol.frame import Frame

PROGRAM = Path(__file__).parent / "echo_module.py"
TWO = {"kind": "module", "command": [sys.executable, str(PROGRAM)], "mount": "/two"}
CALC = ModuleInfo(name="calc", version="1", description="adds numbers")

pytestmark = pytest.mark.timeout(90)


class Place:
    """An orchestrator that takes registrations, at ``port``."""

    def __init__(self, board: Switchboard, port: int) -> None:
        self.board, self.port = board, port

    async def until_known(self, name: str, known: bool = True) -> None:
        async with asyncio.timeout(PATIENCE):
            while self._serves(name) is not known:  # noqa: ASYNC110 - what other processes do has no event here
                await asyncio.sleep(0.02)

    def _serves(self, name: str) -> bool:
        conversation = self.board.conversations.get(name)
        return conversation is not None and conversation.is_ready and conversation.announced.is_set()


@asynccontextmanager
async def orchestrator(port: int = 0, key: str | None = None, **tables: Any) -> AsyncIterator[Place]:
    board = tables.pop("board", None) or Switchboard()
    tables = {"registration": {"listen": f"127.0.0.1:{port}"}, "gateway": {}, **tables}
    async with running({"two": TWO}, board, registration_key=key, **tables) as seen:
        await seen.until("two", State.READY)
        assert seen.orchestrator is not None
        assert seen.orchestrator.registrar is not None
        yield Place(board, seen.orchestrator.registrar.port)


@asynccontextmanager
async def module(
    port: int, *secrets: str, host: str = "127.0.0.1", **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {"PATH": "/usr/bin:/bin", ORCHESTRATOR: f"{host}:{port}", "SDK_MODULE_LISTEN": "127.0.0.1:0", **environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, *secrets, stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1, env=environ
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_it_is_served_by_the_gateway_asks_other_modules_and_leaves_when_it_is_told_to_end() -> None:
    async with orchestrator() as place, module(place.port) as process, ClientSession(place.board.api) as client:
        await place.until_known("echo")
        async with client.get("/echo?q=1") as answer:
            assert (await answer.json())["query"] == "q=1"
        async with client.post("/ask/two/double", json=21) as answer:
            assert await answer.json() == {"double": 42, "source": "echo"}
        process.terminate()
        assert await process.wait() == 0
        await place.until_known("echo", known=False)


async def test_when_its_orchestrator_comes_back_without_memory_it_registers_anew() -> None:
    with listen("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    async with module(port) as refused:
        assert await refused.wait() == 1
        assert refused.stderr is not None
        assert b"no connection to 127.0.0.1" in await refused.stderr.read()
    async with contextlib.AsyncExitStack() as rest:
        async with orchestrator(port) as place:
            await rest.enter_async_context(module(port))
            await place.until_known("echo")
        async with orchestrator(port) as place, ClientSession(place.board.api) as client:
            await place.until_known("echo")
            async with client.get("/echo?q=2") as answer:
                assert (await answer.json())["query"] == "q=2"


async def test_it_has_its_secrets_over_tcp_and_acknowledges_their_rotation(tmp_path: Path) -> None:
    async with await Database.open(f"sqlite:///{tmp_path}/runtime.db") as database:
        await upgrade(database, [MIGRATIONS])
        store = await SecretStore.open(database, MasterKeys([bytes(32)]))
        await store.set({"PASSWORD": "the first password"}, actor="test")
        keeper = _Keeper(store, {"echo": SecretRights(read=("PASSWORD",))})
        board = Switchboard({}, keeper)
        async with (
            orchestrator(board=board) as place,
            module(place.port, "PASSWORD"),
            ClientSession(place.board.api) as client,
        ):
            await place.until_known("echo")
            async with client.get("/cached/PASSWORD") as answer:
                assert await answer.text() == "the first password"
            await store.set({"PASSWORD": "the second password"}, actor="test")
            async with asyncio.timeout(PATIENCE):
                await keeper.acknowledged.wait()
            async with client.get("/cached/PASSWORD") as answer:
                assert await answer.text() == "the second password"


class _Keeper(ModuleSecrets):
    """Says when an acknowledgement has come."""

    def __init__(self, store: SecretStore, rights: Mapping[str, SecretRights]) -> None:
        super().__init__(store, rights)
        self.acknowledged = asyncio.Event()

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None:
        await super().acknowledge(module_id, rotation_id, success=success, message=message)
        assert success
        self.acknowledged.set()


async def test_over_tls_with_a_key(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    server = files["ours server"]
    assert server.certificate is not None
    assert server.key is not None
    settings = {"ca": server.ca, "certificate": server.certificate, "key": server.key}
    async with orchestrator(key="the key of the house", tls=settings) as place:
        async with module(place.port, **{tls.CA: server.ca, KEY: "the key of the house"}):
            await place.until_known("echo")
        for environ, says in (
            ({tls.CA: server.ca}, b"refused the request 'register'"),
            ({tls.CA: files["strangers server"].ca, KEY: "the key of the house"}, b"no connection"),
            ({KEY: "the key of the house"}, b"before it answered register"),
        ):
            async with module(place.port, **environ) as process:
                _, errors = await process.communicate()
                assert process.returncode == 1
                assert says in errors
                assert b"the key of the house" not in errors


async def test_another_machine_is_not_told_anything_without_tls() -> None:
    async with module(9, host="192.0.2.1") as process:
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"another machine, which needs TLS" in errors


# --- the conversation alone, with servers that do not keep to it ---


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"response_type":"register","success":false,"error":"name taken: calc"}', RegistrationRefused),
        (b'{"response_type":"register","success":false}', RegistrationRefused),
        (b'{"response_type":"register","success":true}', ProtocolError),
        (b'{"success":true}', ProtocolError),
        (b"no JSON", ProtocolError),
        (None, LinkTimeout),
        (b"", LinkClosed),
    ],
)
async def test_what_is_no_registration_is_a_typed_error(answer: bytes | None, error: type[Exception]) -> None:
    heard: list[Frame] = []

    def accept() -> Channel:
        def take(frame: Frame) -> None:
            heard.append(frame)
            if answer:
                channel.send(answer)
            elif answer is not None:
                channel.abort("enough")

        channel = Channel(take)
        return channel

    server, port = await listen_tcp(accept)
    registration = Registration(SocketAddress("127.0.0.1", port), timeout=0.3)
    for _ in range(2):
        with pytest.raises(error):
            await registration.register(CALC)
    assert len(heard) == 2, "after a failure the next request has a connection too"
    registration.close()
    server.close()
