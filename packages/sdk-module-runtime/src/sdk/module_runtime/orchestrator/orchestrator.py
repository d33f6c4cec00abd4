"""All modules of a stack, from the start of the first to the end of the last."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import ClientSession

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.awake import AwakeClock
from sdk.module_runtime.orchestrator.database_urls import with_database_urls
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.listeners import ChannelSetup
from sdk.module_runtime.orchestrator.supervisor import Supervisor, log_line
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.service.http_app.server import listen
from sdk.service.http_app.server import running as http_running
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.gateway import Authorizer, Gateway
    from sdk.module_runtime.orchestrator.registration import Registrar
    from sdk.module_runtime.orchestrator.stack import Gateway as GatewaySettings
    from sdk.module_runtime.orchestrator.stack import Module, Registration, Stack

_log = get_logger(__name__)


class Orchestrator:
    """``modules`` and ``gateway`` are there while it runs."""

    def __init__(
        self,
        stack: Stack,
        board: Switchboard,
        *,
        environ: Mapping[str, str] | None = None,
        marks: Mapping[str, str] | None = None,
        on_change: Callable[[str, State], None] = lambda _name, _state: None,
        on_line: Callable[[str, str, str], None] | None = None,
        authorizer: Authorizer | None = None,
        registration_key: str | None = None,
    ) -> None:
        """``marks`` are variables that every module's process inherits."""
        self._environ = os.environ if environ is None else environ
        self.stack, self.board = with_database_urls(stack, self._environ), board
        self.modules: Mapping[str, Supervisor] = {}
        self.gateway: Gateway | None = None
        self.registrar: Registrar | None = None
        self.clock = AwakeClock()
        """By which everything of modules is timed."""
        self._registration_key = registration_key
        self._marks = dict(marks or {})
        self._on_change, self._on_line, self._authorizer = on_change, on_line, authorizer

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Everything but the modules runs inside. ``ConfigurationError`` for a stack that cannot."""
        async with AsyncExitStack() as running:
            running.push_async_callback(self.board.close)
            channels = ChannelSetup(self.stack.tls)
            running.callback(channels.close)
            session = await running.enter_async_context(ClientSession())
            await running.enter_async_context(_ticking(self.clock))
            self.modules = {
                name: Supervisor(
                    name,
                    module,
                    self._environ,
                    session,
                    self.board,
                    channels,
                    self._on_change,
                    on_line=self._on_line,
                    marks=self._marks,
                    listening=_inherited(name, module, running),
                    clock=self.clock,
                )
                for name, module in self.stack.modules.items()
            }
            if self.stack.gateway is not None:
                await running.enter_async_context(self._serving(self.stack.gateway))
            if self.stack.registration is not None:
                await running.enter_async_context(self._registering(self.stack.registration, channels))
            yield

    async def run(self, stop: asyncio.Event) -> None:
        """Within ``ready``: all modules, until ``stop`` is set; then they end, dependents first."""
        await _run_all(self.modules, stop)

    @asynccontextmanager
    async def _serving(self, settings: GatewaySettings) -> AsyncIterator[None]:
        from sdk.module_runtime.orchestrator.gateway import Gateway

        gateway = self.gateway = Gateway(settings, self.stack.modules, self.board.conversations, self._authorizer)

        def take_up(conversation: Conversation) -> None:
            for problem in gateway.refresh(conversation):
                conversation.note("warning", f"an endpoint of the module is not served: {problem}")

        self.board.on_announced, self.board.on_left = take_up, gateway.forget
        address = parse_socket_address(settings.listen)
        assert address is not None  # the stack was checked
        async with http_running(gateway.app, address.host, address.port) as server:
            self.board.api = server.url
            _log.info("gateway_listening", url=server.url)
            async with _in_frames(settings.http_tcp, server.url):
                yield

    @asynccontextmanager
    async def _registering(self, settings: Registration, channels: ChannelSetup) -> AsyncIterator[None]:
        from sdk.module_runtime.channels.sockets import listen_tcp
        from sdk.module_runtime.orchestrator.registration import Registrar

        registrar = self.registrar = Registrar(
            self.board,
            self.stack.modules,
            key=self._registration_key,
            clock=self.clock,
            note=self._on_line or log_line,
            own_ports=settings.http_over_tcp,
        )
        label = "tcp" if channels.context is None else "tls"
        address = parse_socket_address(settings.listen)
        assert address is not None  # the stack was checked
        try:
            server, port = await listen_tcp(
                lambda: registrar.incoming(label), address.host, address.port, ssl=channels.context
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(
                f"registration.listen: {settings.listen} cannot be listened on: {reason}"
            ) from error
        registrar.host, registrar.port = address.host, port
        watching = asyncio.create_task(registrar.watch())
        _log.info("registration_listening", host=address.host, port=port)
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            server.close()
            await registrar.close()


@asynccontextmanager
async def _ticking(clock: AwakeClock) -> AsyncIterator[None]:
    ticking = asyncio.create_task(clock.run())
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)


def _inherited(name: str, module: Module, running: AsyncExitStack) -> socket.socket | None:
    """The socket that all instances of a module inherit; open as long as the stack runs."""
    address = parse_socket_address(module.listen)
    if not module.inherit or address is None:
        return None
    try:
        listening = listen(address.host, address.port)
    except ConfigurationError as error:
        raise ConfigurationError(f"modules.{name}.listen: {error}") from error
    running.callback(listening.close)
    listening.setblocking(True)  # as programs expect it that know nothing of event loops
    return listening


@asynccontextmanager
async def _in_frames(address: str | None, gateway: str) -> AsyncIterator[None]:
    """Answer HTTP in frames at ``address``, if there is one, with what the gateway answers."""
    if address is None:
        yield
        return
    from sdk.module_runtime.channels.http_messages import HttpApplication, plain_session
    from sdk.module_runtime.channels.http_tcp_server import serving_frames

    stopping = asyncio.Event()
    async with (
        plain_session() as session,
        serving_frames(HttpApplication(None, session, gateway), address, stopping, {}),
    ):
        try:
            yield
        finally:
            stopping.set()


async def run_stack(
    stack: Stack,
    stop: asyncio.Event,
    environ: Mapping[str, str] | None = None,
    on_change: Callable[[str, State], None] = lambda _name, _state: None,
    *,
    board: Switchboard | None = None,
    on_start: Callable[[Orchestrator], None] = lambda _orchestrator: None,
    on_line: Callable[[str, str, str], None] | None = None,
    authorizer: Authorizer | None = None,
    registration_key: str | None = None,
) -> None:
    """Run all modules until ``stop`` is set, then stop them, dependents first.

    A module starts when those it comes ``after`` are ready. ``ConfigurationError`` before anything was started.
    """
    orchestrator = Orchestrator(
        stack,
        board or Switchboard(),
        environ=environ,
        on_change=on_change,
        on_line=on_line,
        authorizer=authorizer,
        registration_key=registration_key,
    )
    async with orchestrator.ready():
        on_start(orchestrator)
        await orchestrator.run(stop)


async def _run_all(modules: Mapping[str, Supervisor], stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(_run_in_turn(each, modules)) for name, each in modules.items()}
        await stop.wait()
        await asyncio.gather(*(_end_in_turn(name, modules, tasks) for name in modules))


async def _run_in_turn(supervisor: Supervisor, modules: Mapping[str, Supervisor]) -> None:
    for name in supervisor.module.after:
        await modules[name].ready.wait()
    await supervisor.run()


async def _end_in_turn(name: str, modules: Mapping[str, Supervisor], tasks: Mapping[str, asyncio.Task[None]]) -> None:
    dependents = [tasks[other] for other, each in modules.items() if name in each.module.after]
    if dependents:
        await asyncio.wait(dependents)
    modules[name].end()
    if modules[name].state is State.STOPPED:
        tasks[name].cancel()  # it still waits for its turn
    await asyncio.wait((tasks[name],))
