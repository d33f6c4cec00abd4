"""A module that somebody else started and that registers with an orchestrator over TCP.

It proves itself with the token it gets, and has over one channel what a started module has: secrets, services, other
modules, HTTP by message. It goes on serving while its orchestrator is away, and registers anew where it is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.channels.tls import CA, TlsFiles, client_context
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, NotSent, ProtocolError
from sdk.module_runtime.module.bootstrap import until_signalled
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.context import ModuleContext
from sdk.module_runtime.module.http import endpoints_of, serving
from sdk.module_runtime.module.http_tcp import serving_frames
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.messaging import Messaging
from sdk.module_runtime.module.registration import Registration, RegistrationRefused
from sdk.module_runtime.module.requests import Requests
from sdk.module_runtime.protocol.extensions import DRAIN, HELLO, ExtensionCall, Hello
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.module_runtime.protocol.messages import Announce
from sdk.module_runtime.secrets.client import SecretClient
from sdk.module_runtime.secrets.providers.chosen import chosen_provider
from sdk.module_runtime.secrets.providers.orchestrator import OrchestratorProvider
from sdk.module_runtime.secrets.redaction import register_secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from ssl import SSLContext

    from sdk.module_runtime.module.context import Build, ServeOptions
    from sdk.module_runtime.protocol.init import SocketAddress
    from sdk.module_runtime.protocol.registration import ModuleInfo, RegisteredModule

_log = get_logger(__name__)
KEY: Final = "SDK_REGISTRATION_KEY"
BEAT_EVERY: Final = 30.0
LAST_WORDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class OrchestratorAddress:
    """Where to register. ``ssl`` is None only on this machine: elsewhere the token would travel in clear."""

    address: SocketAddress
    ssl: SSLContext | None
    server_name: str | None
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: str, environ: Mapping[str, str]) -> Self:
        """``ip:port``; TLS with the variables of ``channels.tls``. ``ConfigurationError``."""
        address = parse_socket_address(text)
        if address is None:
            raise ConfigurationError(f"--orchestrator {text}: give ip:port, with IPv6 in brackets")
        key = environ.get(KEY)
        if CA in environ:
            files = TlsFiles.from_env(environ)
            return cls(address, client_context(files, mutual=files.certificate is not None), files.server_name, key)
        if not ipaddress.ip_address(address.host).is_loopback:
            raise ConfigurationError(f"--orchestrator {text} is another machine, which needs TLS: set {CA}")
        return cls(address, None, None, key)


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
    module = _Registered(info, options, orchestrator, beat_every)
    try:
        with until_signalled(module.stopping):
            await module.enter()
            await module.serve(build, secrets, listen, environ)
    finally:
        await module.close()


class _Registered:
    def __init__(
        self, info: ModuleInfo, options: ServeOptions, orchestrator: OrchestratorAddress, beat_every: float
    ) -> None:
        self.stopping = asyncio.Event()
        self._orchestrator, self._options, self._beat_every = orchestrator, options, beat_every
        metadata = dict(info.metadata or {})
        if orchestrator.key is not None:
            register_secret(orchestrator.key)
            metadata["registration_key"] = orchestrator.key
        self._info = info.model_copy(update={"metadata": metadata or None})
        self._registration = Registration(
            orchestrator.address, ssl=orchestrator.ssl, server_name=orchestrator.server_name
        )
        self._requests = Requests(self.stopping)
        self._messages = Messaging()
        self._tasks: list[asyncio.Task[None]] = []
        self._no_stdio: Link | None = None

    async def enter(self) -> None:
        """Register, and have the channel open."""
        self._module = await self._register()
        extensions = _extensions(self._module)
        self._no_stdio = Link(_nowhere, extensions)
        self._links = Links(self._no_stdio, Preferences.TCP_ONLY, over_channels=True)
        self._messages.links = self._links
        self._requests.elsewhere = self._links.send
        self._channel = ModuleChannel(
            self._target(),
            extensions,
            self._requests.take,
            self.stopping.set,
            self._messages.take,
            self._messages.take_stream,
            rotations=self._no_stdio.rotations,
        )
        self._links.add(self._channel)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.create_task(self._channel.keep(opened)))
        await opened

    async def serve(
        self, build: Build, secrets: Sequence[str], listen: SocketAddress | str, environ: Mapping[str, str]
    ) -> None:
        provider = chosen_provider(environ, first=OrchestratorProvider(self._links))
        async with SecretClient(provider) as client:
            await client.get_many(secrets)
            app = await build(ModuleContext(self._info.name, environ, client, self._links, self._messages))
            address = listen if self._options.bind_http else None
            async with (
                serving(app, address, drain=self._options.drain) as http,
                serving_frames(http, self._options.http_tcp, self.stopping, environ) as frames,
            ):
                self._requests.serve(http)
                endpoints = self._options.endpoints
                announce = Announce(
                    listen=http.address or "", endpoints=endpoints_of(app) if endpoints is None else list(endpoints)
                )
                await self._channel.greet(announce)
                self._tasks.append(asyncio.create_task(self._beat()))
                _log.info("module_serves", module=self._info.name, address=http.address)
                await self.stopping.wait()
                await self._say_draining()
                drained = (self._requests, self._messages, frames)
                await asyncio.gather(*(each.drain(self._options.drain) for each in drained))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._messages.close()
        if self._no_stdio is not None:
            await self._no_stdio.close()
            with contextlib.suppress(RegistrationRefused, LinkClosed, LinkTimeout, ProtocolError, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._registration.unregister(self._module)
        self._registration.close()

    async def _register(self) -> RegisteredModule:
        module = await self._registration.register(self._info)
        register_secret(module.token)
        _log.info("module_registered", module=self._info.name, id=str(module.id))
        return module

    def _target(self) -> Target:
        place = self._orchestrator
        hello = Hello(module_id=self._info.name, auth_token=self._module.token)
        return Target("tcp", place.address, True, place.ssl, place.server_name, hello)

    async def _beat(self) -> None:
        """Until cancelled: say that this module is well, and register anew where nobody knows it any more."""
        while True:
            await self._within_a_beat(self._channel.until_lost())
            try:
                await self._registration.heartbeat(self._module, "Healthy")
            except RegistrationRefused:
                await self._register_again()
            except (LinkClosed, LinkTimeout, ProtocolError) as error:
                _log.warning("heartbeat_not_taken", reason=str(error))
            await self._within_a_beat(self._channel.until_open())

    async def _within_a_beat(self, event: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._beat_every):
                await event

    async def _register_again(self) -> None:
        try:
            self._module = await self._register()
        except (RegistrationRefused, LinkClosed, LinkTimeout, ProtocolError) as error:
            _log.warning("module_not_registered", reason=str(error))
        else:
            self._channel.retarget(self._target())

    async def _say_draining(self) -> None:
        call = ExtensionCall(call_id="draining", extension=DRAIN, operation="draining", params={})
        if DRAIN in self._links.extensions and self._channel.link is not None:
            with contextlib.suppress(LinkClosed, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._channel.link.send(call)


def _extensions(module: RegisteredModule) -> frozenset[str]:
    announced = (module.additional_data or {}).get("extensions")
    known = announced if isinstance(announced, list) else []
    return frozenset(each for each in known if isinstance(each, str)) | {HELLO}


async def _nowhere(_message: Any) -> None:
    raise NotSent("no channel to the orchestrator is open")
