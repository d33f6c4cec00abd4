"""From the first line to the last: who am I, what may I know, serve, and end when told to.

A module ends on ``shutdown``, when its stdin ends (its orchestrator is gone) and on SIGTERM or SIGINT; each way it
takes no new requests, lets those in flight end, and exits with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError, SdkError
from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.module.http import endpoints_of, serving, unavailable
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.stdio import Stdio, take_over
from sdk.module_runtime.protocol.messages import Announce
from sdk.service.logging import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from aiohttp import web

    from sdk.module_runtime.module.http import HttpApplication
    from sdk.module_runtime.protocol.init import InitBlob
    from sdk.module_runtime.protocol.messages import HttpRequest
    from sdk.module_runtime.protocol.services import Endpoint

    Build = Callable[["ModuleContext"], Awaitable[web.Application]]

_log = get_logger(__name__)
_WAITING_REQUESTS: Final = 256


@dataclass(frozen=True)
class ModuleContext:
    """What a module's application is built from."""

    init: InitBlob
    link: Link
    secrets: Mapping[str, str] = field(repr=False)
    """Those that were named to ``run_module``, by name."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    bind_http: bool = True
    """Whether to listen at ``init.listen``; without, requests come as messages only."""
    drain: float = 10.0
    """Seconds that requests in flight have once the module is told to end."""
    endpoints: Sequence[Endpoint] | None = None
    """What to announce; None for what the application routes."""


def run_module(build: Build, *, secrets: Iterable[str] = (), options: ServeOptions | None = None) -> int:
    """Be a module until told to end; the exit status for ``sys.exit``.

    ``build`` makes the application once the named secrets are there. What stops a start is one line on stderr.
    """
    lines_in, lines_out = take_over()
    configure_logging()
    try:
        asyncio.run(_run(build, tuple(secrets), options or ServeOptions(), lines_in, lines_out))
    except SdkError as error:
        sys.stderr.write(f"module: {error}\n")
        return 1
    return 0


async def _run(
    build: Build, secrets: tuple[str, ...], options: ServeOptions, lines_in: BinaryIO, lines_out: BinaryIO
) -> None:
    stdio = await Stdio.open(lines_in, lines_out)
    init = await stdio.read_init()
    _refuse_what_is_missing(init)
    link = Link(stdio.send, frozenset(init.extensions))
    requests = _Requests(link)
    link.on_http = requests.take
    with _signals(link.stopping):
        reading = asyncio.create_task(_read(stdio, link))
        try:
            values = {name: (await link.get_secret(name))[0] for name in secrets}
            app = await build(ModuleContext(init, link, values))
            address = (init.listen_address or init.listen) if options.bind_http else None
            async with serving(app, address, drain=options.drain) as http:
                requests.serve(http)
                endpoints = endpoints_of(app) if options.endpoints is None else list(options.endpoints)
                await link.send(Announce(listen=http.address or init.listen, endpoints=endpoints))
                await link.stopping.wait()
                await requests.drain(options.drain)
        finally:
            reading.cancel()
            await link.close()
            stdio.close()


async def _read(stdio: Stdio, link: Link) -> None:
    try:
        await stdio.receive(link.receive)
    finally:
        link.stopping.set()


def _refuse_what_is_missing(init: InitBlob) -> None:
    """What this orchestrator demands and is not done is no module's to overlook."""
    for name, channel in (("tcp_channel", init.tcp_channel), ("ipc_channel", init.ipc_channel)):
        if channel is not None and channel.required:
            raise ConfigurationError(f"the orchestrator requires {name}, which this module does not open")


class _Requests:
    """HTTP requests that came as messages: bounded, kept until the application serves, ended before it goes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._http: asyncio.Future[HttpApplication] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, http: HttpApplication) -> None:
        self._http.set_result(http)

    def take(self, request: HttpRequest) -> None:
        busy = len(self._tasks) >= _WAITING_REQUESTS or self._link.stopping.is_set()
        task = asyncio.create_task(self._refuse(request) if busy else self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _answer(self, request: HttpRequest) -> None:
        http = await asyncio.shield(self._http)
        answer = await http.answer(request)
        with contextlib.suppress(LinkClosed):  # nobody is left to read it
            await self._link.send(answer)

    async def _refuse(self, request: HttpRequest) -> None:
        with contextlib.suppress(LinkClosed):
            await self._link.send(unavailable(request))


@contextlib.contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    try:
        yield
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
