"""A module that somebody else started and that registers with an orchestrator over TCP.

Under an orchestrator of ours it proves itself with the token it gets, and has over one channel what a started module
has: secrets, services, other modules, HTTP by message. One that knows only the Rust wire gets ``FramedModule``. It goes
on serving while its orchestrator is away, and registers anew where it is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.channels.http_messages import Requests
from sdk.module_runtime.channels.http_tcp_server import serving_frames
from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.errors import LinkClosed, NotSent
from sdk.module_runtime.module.bootstrap import until_signalled
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.context import ModuleContext
from sdk.module_runtime.module.framed import FramedModule
from sdk.module_runtime.module.http import endpoints_of, serving
from sdk.module_runtime.module.http_tcp_found import offer
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.membership import LAST_WORDS, Membership
from sdk.module_runtime.module.messaging import Messaging
from sdk.module_runtime.process_link import ProcessLink, set_process_link
from sdk.module_runtime.protocol.extensions import DRAIN, HELLO, ExtensionCall, Hello
from sdk.module_runtime.protocol.messages import Announce
from sdk.module_runtime.secrets.client import SecretClient
from sdk.module_runtime.secrets.providers.chosen import chosen_provider
from sdk.module_runtime.secrets.providers.orchestrator import OrchestratorProvider
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from sdk.module_runtime.module.context import Build, ServeOptions
    from sdk.module_runtime.module.membership import OrchestratorAddress
    from sdk.module_runtime.protocol.init import SocketAddress
    from sdk.module_runtime.protocol.registration import ModuleInfo, RegisteredModule

_log = get_logger(__name__)
BEAT_EVERY: Final = 30.0


async def run_registered(
    build: Build,
    info: ModuleInfo,
    secrets: Sequence[str],
    options: ServeOptions,
    orchestrator: OrchestratorAddress,
    listen: SocketAddress | str,
    environ: Mapping[str, str],
    *,
    beat_every: float = BEAT_EVERY,
) -> None:
    """Serve at ``listen`` until told to end. ``SdkError`` if the orchestrator is not there or refuses at the start."""
    stopping = asyncio.Event()
    membership = Membership(info, orchestrator)
    try:
        with until_signalled(stopping):
            module = await membership.enter()
            way = FramedModule if announced_extensions(module) is None else ChannelledModule
            await way(membership, options, stopping, beat_every).run(build, secrets, listen, environ)
    finally:
        await membership.leave()


class ChannelledModule:
    """One whose orchestrator speaks our extensions."""

    def __init__(
        self, membership: Membership, options: ServeOptions, stopping: asyncio.Event, beat_every: float
    ) -> None:
        self._membership, self._options, self._beat_every = membership, options, beat_every
        self._stopping = stopping
        self._requests = Requests(stopping)
        self._messages = Messaging()
        self._tasks: list[asyncio.Task[None]] = []
        extensions = (announced_extensions(membership.module) or frozenset()) | {HELLO}
        self._no_stdio = Link(_nowhere, extensions)
        self._links = Links(self._no_stdio, Preferences.TCP_ONLY, over_channels=True)
        self._messages.links = self._links
        self._requests.elsewhere = self._links.send
        self._channel = ModuleChannel(
            self._target(),
            extensions,
            self._requests.take,
            stopping.set,
            self._messages.take,
            self._messages.take_stream,
            rotations=self._no_stdio.rotations,
        )
        self._links.add(self._channel)

    async def run(
        self, build: Build, secrets: Sequence[str], listen: SocketAddress | str, environ: Mapping[str, str]
    ) -> None:
        """Until told to stop. ``SdkError`` if the channel cannot be opened."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks += [asyncio.create_task(each) for each in (self._channel.keep(opened), self._links.watch())]
        try:
            await opened
            await self._serve(build, secrets, listen, environ)
        finally:
            await self._close()

    async def _serve(
        self, build: Build, secrets: Sequence[str], listen: SocketAddress | str, environ: Mapping[str, str]
    ) -> None:
        set_process_link(ProcessLink(self._links, asyncio.get_running_loop()))
        provider = chosen_provider(environ, first=OrchestratorProvider(self._links))
        async with SecretClient(provider) as client:
            await client.get_many(secrets)
            app = await build(ModuleContext(self._membership.info.name, environ, client, self._links, self._messages))
            address = listen if self._options.bind_http else None
            async with (
                serving(app, address, drain=self._options.drain) as http,
                serving_frames(http, self._options.http_tcp, self._stopping, environ) as frames,
            ):
                self._requests.serve(http)
                endpoints = self._options.endpoints
                announce = Announce(
                    listen=http.address or "", endpoints=endpoints_of(app) if endpoints is None else list(endpoints)
                )
                await self._channel.greet(announce)
                self._tasks.append(asyncio.create_task(self._beat(frames.address)))
                _log.info("module_serves", module=self._membership.info.name, address=http.address)
                await self._stopping.wait()
                await self._say_draining()
                drained = (self._requests, self._messages, frames)
                await asyncio.gather(*(each.drain(self._options.drain) for each in drained))

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._messages.close()
        await self._no_stdio.close()

    def _target(self) -> Target:
        place = self._membership.place
        hello = Hello(module_id=self._membership.info.name, auth_token=self._membership.module.token)
        return Target("tcp", place.address, True, place.ssl, place.server_name, hello)

    async def _beat(self, frames: str | None) -> None:
        """Until cancelled. ``frames`` is where HTTP in frames is answered."""
        is_new = True
        while True:
            if is_new and self._channel.link is not None:
                await offer(self._links, self._membership.info.name, frames)
                is_new = False
            await self._within_a_beat(self._channel.until_lost())
            if await self._membership.beat():
                self._channel.retarget(self._target())
                is_new = True
            await self._within_a_beat(self._channel.until_open())

    async def _within_a_beat(self, event: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._beat_every):
                await event

    async def _say_draining(self) -> None:
        call = ExtensionCall(call_id="draining", extension=DRAIN, operation="draining", params={})
        if DRAIN in self._links.extensions and self._channel.link is not None:
            with contextlib.suppress(LinkClosed, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._channel.link.send(call)


def announced_extensions(module: RegisteredModule) -> frozenset[str] | None:
    """What the orchestrator speaks beyond the Rust wire; None if it says nothing of the kind."""
    announced = (module.additional_data or {}).get("extensions")
    if not isinstance(announced, list):
        return None
    return frozenset(each for each in announced if isinstance(each, str))


async def _nowhere(_message: Any) -> None:
    raise NotSent("no channel to the orchestrator is open")
