"""From the first line to the last: who am I, what may I know, serve, and end when told to.

A module ends on ``shutdown``, when its stdin ends (its orchestrator is gone) and on SIGTERM or SIGINT; each way it
takes no new requests, lets those in flight end, and exits with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.channels.http_messages import Requests
from sdk.module_runtime.channels.http_tcp_server import serving_frames
from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.context import ModuleContext
from sdk.module_runtime.module.http import endpoints_of, serving
from sdk.module_runtime.module.http_tcp_found import offer
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.messaging import Messaging
from sdk.module_runtime.module.stdio import Stdio
from sdk.module_runtime.port_negotiation.negotiator import PortNegotiator
from sdk.module_runtime.process_link import ProcessLink, set_process_link
from sdk.module_runtime.protocol.extensions import DRAIN, HELLO, ExtensionCall
from sdk.module_runtime.protocol.messages import Announce
from sdk.module_runtime.secrets.client import SecretClient
from sdk.module_runtime.secrets.providers.orchestrator import OrchestratorProvider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from sdk.module_runtime.module.context import Build, ServeOptions
    from sdk.module_runtime.protocol.init import InitBlob


SAY_WITHIN: Final = 1.0


async def run_under_orchestrator(
    build: Build, secrets: Sequence[str], options: ServeOptions, lines_in: BinaryIO, lines_out: BinaryIO
) -> None:
    """Be a module until told to end. ``build`` makes the application once ``secrets`` are there. ``SdkError``."""
    stdio = await Stdio.open(lines_in, lines_out)
    init = await stdio.read_init()
    module = _Module(init, stdio, options)
    try:
        with until_signalled(module.stopping):
            await module.open_channels()
            await module.serve(build, secrets)
    finally:
        await module.close()


class _Module:
    """Everything that runs beside the application while a module lives."""

    def __init__(self, init: InitBlob, stdio: Stdio, options: ServeOptions) -> None:
        self.stopping = asyncio.Event()
        self._told = False
        self._init, self._stdio, self._options = init, stdio, options
        self._requests = Requests(self.stopping)
        self._messages = Messaging()
        self._link = Link(
            stdio.send,
            frozenset(init.extensions),
            on_http=self._requests.take,
            on_shutdown=self._tell,
            on_routed=self._messages.take,
        )
        self._links = Links(self._link, options.channels, over_channels=HELLO in init.extensions)
        self._messages.links = self._links
        self._requests.elsewhere = self._links.send
        self._tasks = [asyncio.create_task(self._read())]

    async def open_channels(self) -> None:
        """Open what the InitBlob offers, wait for what it requires. ``SdkError`` if that or its security cannot be."""
        required = []
        for kind in self._options.channels.to_open(self._init):
            channel = ModuleChannel(
                Target.of(kind, self._init),
                self._links.extensions,
                self._requests.take,
                self._tell,
                self._messages.take,
                self._messages.take_stream,
                rotations=self._link.rotations,
            )
            self._links.add(channel)
            opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._tasks.append(asyncio.create_task(channel.keep(opened)))
            if channel.target.required:
                required.append(opened)
        self._tasks.append(asyncio.create_task(self._links.watch()))
        await asyncio.gather(*required)

    async def serve(self, build: Build, secrets: Sequence[str]) -> None:
        init, options = self._init, self._options
        set_process_link(ProcessLink(self._links, asyncio.get_running_loop()))
        async with SecretClient(OrchestratorProvider(self._links)) as client:
            await client.get_many(secrets)
            app = await build(ModuleContext(init.module_id, init.env, client, self._links, self._messages))
            address = (init.listen_address or init.listen) if options.bind_http else None
            async with (
                serving(app, address, drain=options.drain, negotiator=PortNegotiator(self._links)) as http,
                serving_frames(http, options.http_tcp, self.stopping, init.env) as frames,
            ):
                self._requests.serve(http)
                endpoints = endpoints_of(app) if options.endpoints is None else list(options.endpoints)
                await self._link.send(Announce(listen=http.address or init.listen, endpoints=endpoints))
                self._tasks.append(asyncio.create_task(offer(self._links, init.module_id, frames.address)))
                await self.stopping.wait()
                await self._say_draining()
                drained = (self._requests, self._messages, frames)
                await asyncio.gather(*(each.drain(options.drain) for each in drained))

    async def _say_draining(self) -> None:
        """Its orchestrator knows, unless a signal was the cause: then it may stop sending requests."""
        if DRAIN in self._init.extensions and not self._told:
            call = ExtensionCall(call_id="draining", extension=DRAIN, operation="draining", params={})
            with contextlib.suppress(LinkClosed, TimeoutError):
                async with asyncio.timeout(SAY_WITHIN):
                    await self._link.send(call)

    def _tell(self) -> None:
        """The orchestrator has asked to end, or is gone."""
        self._told = True
        self._messages.refuse_new()
        self.stopping.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._messages.close()
        await self._link.close()
        self._stdio.close()

    async def _read(self) -> None:
        try:
            await self._stdio.receive(self._link.receive)
        finally:
            self._tell()


@contextlib.contextmanager
def until_signalled(stopping: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set ``stopping`` within the block."""
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    try:
        yield
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
