"""One process of a module, from its start until everything it held is given back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import ClientError, ClientTimeout

from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.orchestrator.conversation import Conversation
from sdk.module_runtime.orchestrator.happenings import Happening
from sdk.module_runtime.orchestrator.listeners import Listener
from sdk.module_runtime.orchestrator.orphans import INSTANCE_MARK, end_marked
from sdk.module_runtime.orchestrator.port_leases import NoPort
from sdk.module_runtime.orchestrator.process import Process
from sdk.module_runtime.orchestrator.stack import resolved
from sdk.module_runtime.orchestrator.transports import StdioTransport
from sdk.module_runtime.protocol.init import InitBlob, parse_socket_address
from sdk.module_runtime.protocol.messages import Announce
from sdk.module_runtime.protocol.services import Endpoint
from sdk.module_runtime.secrets.redaction import register_secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from aiohttp import ClientSession

    from sdk.module_runtime.orchestrator.listeners import ChannelSetup
    from sdk.module_runtime.orchestrator.logs import LogCollector
    from sdk.module_runtime.orchestrator.stack import Module
    from sdk.module_runtime.orchestrator.switchboard import Switchboard
    from sdk.module_runtime.protocol.init import SecurityLevel, SocketAddress

_log = get_logger(__name__)
_ASK_EVERY: Final = 0.1
BACKLOG: Final = 1024
"""Who may wait at a socket that is inherited."""
_ASK_TIMEOUT: Final = ClientTimeout(total=5)
BOUND_WITHIN: Final = 1.0
"""Seconds from a Rust module's announcement until what it announced is open, if it ever is."""


@dataclass(frozen=True)
class Setting:
    """What all instances of one module share."""

    name: str
    module: Module
    program: str
    environment: Mapping[str, str]
    board: Switchboard
    channels: ChannelSetup
    session: ClientSession
    logs: LogCollector
    clock: Callable[[], float]
    listening: socket.socket | None = None
    """What every instance inherits."""


class Instance:
    """The ``conversation`` of a command is the orchestrator's alone: it says where the command serves."""

    def __init__(
        self,
        id_: str,
        setting: Setting,
        process: Process,
        conversation: Conversation,
        listener: Listener | None = None,
    ) -> None:
        self.id = id_
        self.setting, self.process, self.conversation, self.listener = setting, process, conversation, listener
        self.started_at = setting.clock()
        self._tell(happenings.STARTED, pid=process.pid)

    @classmethod
    async def start(cls, setting: Setting, listen: str | None = None) -> Instance:
        """``OSError`` if no process can be made; ``SdkError`` if it can have no channel, port or address of another.

        ``listen`` is where an earlier instance has served, if this one shall serve there again.
        """
        id_ = str(uuid4())
        if setting.module.kind == "command":
            return await cls._start_command(id_, setting, listen)
        module = resolved(setting.module, setting.board.urls)
        listen = _where(setting.listening) or listen or module.listen
        setting = replace(setting, module=module.model_copy(update={"listen": listen}))
        environment = {**setting.environment, **module.environment, INSTANCE_MARK: id_}
        return await cls._start_module(id_, setting, {**environment, "PYWATT_MODULE_ID": setting.name})

    @classmethod
    async def _start_command(cls, id_: str, setting: Setting, earlier: str | None) -> Instance:
        conversation = Conversation(
            setting.name, secrets.token_urlsafe(32), setting.board, setting.logs.note, setting.clock
        )
        try:
            port = _own_port(setting, conversation, earlier) if setting.module.wants_port else None
            module = resolved(setting.module, setting.board.urls, port)
            process = await Process.start(
                setting.program,
                module.command,
                {**setting.environment, **module.environment, INSTANCE_MARK: id_},
                module.directory,
                setting.logs,
                listening=_passed(setting),
            )
        except BaseException:
            await _give_back(None, None, conversation)
            raise
        # The gateway sends it all that stands below its mount.
        endpoints = [Endpoint(path="/{path:.*}", methods=["*"])] if module.mount else []
        listen = _where(setting.listening) or urlsplit(module.ready_url or "").netloc
        conversation.announce(Announce(listen=listen, endpoints=endpoints))
        return cls(id_, replace(setting, module=module), process, conversation)

    @classmethod
    async def _start_module(cls, id_: str, setting: Setting, environment: Mapping[str, str]) -> Instance:
        token = secrets.token_urlsafe(32)
        conversation = Conversation(setting.name, token, setting.board, setting.logs.note, setting.clock)
        conversation.loses_lines = setting.module.identify == "listener"
        register_secret(token, holder=conversation)
        stdio = StdioTransport(conversation)
        conversation.attach(stdio)
        process, listener = None, None
        try:
            listener = await Listener.open(setting.module, setting.channels, conversation, setting.clock)
            init = _init(setting, token, listener, _listen(setting, conversation))
            process = await Process.start(
                setting.program,
                setting.module.command,
                environment,
                setting.module.directory,
                stdio,
                errors=setting.logs,
                clock=setting.clock,
                listening=_passed(setting),
            )
            stdio.attach(process)
            stdio.send(init)
        except BaseException:
            await _give_back(process, listener, conversation)
            raise
        return cls(id_, setting, process, conversation, listener)

    async def until_ready(self) -> None:
        """Until the module says that it is ready. That its port is open is not enough."""
        await self.conversation.announced.wait()
        if self.setting.module.identify == "listener":
            await self._until_bound(self.conversation)
        if self.setting.module.ready_url is not None:
            while not await self._answers(self.setting.module.ready_url):  # noqa: ASYNC110 - see below
                await asyncio.sleep(_ASK_EVERY)  # another program has no event to wait for

    @property
    def address(self) -> str | None:
        """``host:port`` where it has said that it serves; None for messages, or a socket."""
        announcement = self.conversation.announcement
        if announcement is not None and self.setting.module.kind == "command":
            return announcement.listen or None
        address = parse_socket_address(announcement.listen) if announcement is not None else None
        return announcement.listen if announcement is not None and address is not None and address.port else None

    async def _until_bound(self, conversation: Conversation) -> None:
        """A Rust module announces before it binds; one that serves over messages only never does."""
        assert conversation.announcement is not None
        address = parse_socket_address(conversation.announcement.listen)
        if address is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BOUND_WITHIN):
                while not await _is_open(address):  # noqa: ASYNC110 - another program has no event to wait for
                    await asyncio.sleep(_ASK_EVERY / 4)

    def enter(self) -> None:
        """It is ready: from now on it is the module of its name."""
        if self.address is not None:
            self.setting.board.urls[self.setting.name] = f"http://{self.address}"
        self._tell(happenings.READY)
        self.conversation.is_ready = True
        self.setting.board.enter(self.conversation)

    async def until_hung(self) -> None:
        """Until the module has answered no heartbeat, or left its input unread, for too long."""
        if self.process.input is None:
            await asyncio.get_running_loop().create_future()
            return
        limit, pipe = self.setting.module.hung_after, self.process.input
        while (blocked := pipe.blocked_for()) < limit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit - blocked):
                    await self.conversation.hung.wait()
                    return

    async def stop(self, patience: float) -> int:
        """Shutdown message, SIGTERM, SIGKILL to the group, within ``patience`` seconds. The exit status."""
        self.conversation.shutdown()
        if self.setting.module.kind == "module":
            try:
                async with asyncio.timeout(patience / 2):
                    return await self.process.wait()
            except TimeoutError:
                _log.warning("module_ignores_shutdown", module_id=self.setting.name)
                return await self.process.stop(patience / 2)
        return await self.process.stop(patience)

    async def close(self) -> None:
        """Whatever happened, nothing stays behind."""
        await self.process.kill()
        escaped = await asyncio.to_thread(end_marked, INSTANCE_MARK, self.id)
        if escaped:
            _log.warning("module_left_processes", module_id=self.setting.name, killed=escaped)
        await _give_back(self.process, self.listener, self.conversation)
        self._tell(happenings.ENDED, status=await self.process.wait())

    def _tell(self, kind: str, **detail: object) -> None:
        self.setting.board.tell(Happening(kind, self.setting.name, {"instance": self.id, **detail}))

    async def _answers(self, url: str) -> bool:
        try:
            async with self.setting.session.get(url, timeout=_ASK_TIMEOUT, allow_redirects=False) as answer:
                return answer.status == 200
        except (ClientError, TimeoutError, OSError, ValueError):  # ValueError: an answer or address aiohttp cannot read
            return False


async def _is_open(address: SocketAddress) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.close()
    return True


def _passed(setting: Setting) -> socket.socket | None:
    """What an instance before this one may have shut down; then it listens again."""
    if setting.listening is not None:
        setting.listening.listen(BACKLOG)
    return setting.listening


def _where(listening: socket.socket | None) -> str | None:
    if listening is None:
        return None
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _own_port(setting: Setting, conversation: Conversation, earlier: str | None) -> int:
    """The port of an instance before this one, if it is free."""
    address = parse_socket_address(earlier or "")
    if address is not None:
        with contextlib.suppress(NoPort):
            return setting.board.lease_port(conversation, address.port)
    return setting.board.lease_port(conversation)


def _listen(setting: Setting, conversation: Conversation) -> str:
    """Where the module shall serve. A Rust module told to take port 0 tells nobody which one it got."""
    address = parse_socket_address(setting.module.listen)
    if setting.module.identify == "token" or address is None or address.port:
        return setting.module.listen
    port = setting.board.lease_port(conversation)
    return setting.module.listen.removesuffix("0") + str(port)


def _init(setting: Setting, token: str, listener: Listener, listen: str) -> InitBlob:
    module, tls = setting.module, setting.channels.tls
    is_mutual = tls is not None and tls.is_mutual and "tcp" in module.channels
    level: SecurityLevel = "Mtls" if is_mutual else "Token"
    return InitBlob(
        orchestrator_api=setting.board.api,
        module_id=setting.name,
        env={**module.environment, **setting.channels.environment()},
        listen=listen,
        tcp_channel=listener.tcp,
        ipc_channel=listener.ipc,
        auth_token=token if listener.by_token else None,
        security_level=level if listener.by_token else "None",
        extensions=setting.board.extensions,
    )


async def _give_back(process: Process | None, listener: Listener | None, conversation: Conversation | None) -> None:
    if process is not None:
        await process.kill()
    if listener is not None:
        await listener.close()
    if conversation is not None:
        await conversation.close()
