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

from sdk.core.errors import SdkError
from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.http import endpoints_of, serving, unavailable
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.stdio import Stdio, take_over
from sdk.module_runtime.protocol.extensions import HELLO
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
    link: Links
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
    channels: Preferences = field(default_factory=Preferences)


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
    stopping = asyncio.Event()
    requests = _Requests(stopping)
    link = Link(stdio.send, frozenset(init.extensions), on_http=requests.take, on_shutdown=stopping.set)
    links = Links(link, options.channels, over_channels=HELLO in init.extensions)
    tasks = [asyncio.create_task(_read(stdio, link, stopping))]
    try:
<<<<<<< HEAD
        with until_signalled(module.stopping):
            await module.open_channels()
            await module.serve(build, secrets)
    finally:
        await module.close()


class _Module:
    """Everything that runs beside the application while a module lives."""

    def __init__(self, init: InitBlob, stdio: Stdio, options: ServeOptions) -> None:
        self.stopping = asyncio.Event()
        self._init, self._stdio, self._options = init, stdio, options
        self._requests = Requests(self.stopping)
        self._messages = Messaging()
        self._link = Link(
            stdio.send,
            frozenset(init.extensions),
            on_http=self._requests.take,
            on_shutdown=self.stopping.set,
            on_routed=self._messages.take,
        )
        self._links = Links(self._link, options.channels, over_channels=HELLO in init.extensions)
        self._messages.links = self._links
        self._tasks = [asyncio.create_task(self._read())]

    async def open_channels(self) -> None:
        """Open what the InitBlob offers, wait for what it requires. ``SdkError`` if that or its security cannot be."""
        required = []
        for kind in self._options.channels.to_open(self._init):
            channel = ModuleChannel(
                Target.of(kind, self._init),
                self._links.extensions,
                self._requests.take,
                self.stopping.set,
                self._messages.take,
                self._messages.take_stream,
            )
            self._links.add(channel)
            opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._tasks.append(asyncio.create_task(channel.keep(opened)))
            if channel.target.required:
                required.append(opened)
        await asyncio.gather(*required)

    async def serve(self, build: Build, secrets: Sequence[str]) -> None:
        init, options = self._init, self._options
        async with SecretClient(OrchestratorProvider(self._links)) as client:
            await client.get_many(secrets)
            app = await build(ModuleContext(init.module_id, init.env, client, self._links, self._messages))
=======
        with _signals(stopping):
            tasks += await _open_channels(init, links, options.channels, requests, stopping)
            values = {name: (await links.get_secret(name))[0] for name in secrets}
            app = await build(ModuleContext(init, links, values))
>>>>>>> 9da3d7e (Play module and orchestrator in Rust, and ask its types about every text, so that interop is seen and not assumed)
            address = (init.listen_address or init.listen) if options.bind_http else None
            async with serving(app, address, drain=options.drain) as http:
                requests.serve(http)
                endpoints = endpoints_of(app) if options.endpoints is None else list(options.endpoints)
                await link.send(Announce(listen=http.address or init.listen, endpoints=endpoints))
                await stopping.wait()
                await requests.drain(options.drain)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await link.close()
        stdio.close()


async def _read(stdio: Stdio, link: Link, stopping: asyncio.Event) -> None:
    try:
        await stdio.receive(link.receive)
    finally:
        stopping.set()


async def _open_channels(
    init: InitBlob, links: Links, preferences: Preferences, requests: _Requests, stopping: asyncio.Event
) -> list[asyncio.Task[None]]:
    """Open what the InitBlob offers; wait for what it requires. An ``SdkError`` if that, or its security, cannot be."""
    tasks, required = [], []
    for kind in preferences.to_open(init):
        channel = ModuleChannel(Target.of(kind, init), links.extensions, requests.take, stopping.set)
        links.add(channel)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks.append(asyncio.create_task(channel.keep(opened)))
        if channel.target.required:
            required.append(opened)
    try:
        await asyncio.gather(*required)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    return tasks


class _Requests:
    """HTTP requests that came as messages: bounded, kept until the application serves, ended before it goes."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._http: asyncio.Future[HttpApplication] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, http: HttpApplication) -> None:
        self._http.set_result(http)

    def take(self, request: HttpRequest, link: Link) -> None:
        """The answer goes the way the request came."""
        busy = len(self._tasks) >= _WAITING_REQUESTS or self._stopping.is_set()
        task = asyncio.create_task(self._refuse(request, link) if busy else self._answer(request, link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _answer(self, request: HttpRequest, link: Link) -> None:
        http = await asyncio.shield(self._http)
        answer = await http.answer(request)
        with contextlib.suppress(LinkClosed):  # nobody is left to read it
            await link.send(answer)

    async def _refuse(self, request: HttpRequest, link: Link) -> None:
        with contextlib.suppress(LinkClosed):
            await link.send(unavailable(request))


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
