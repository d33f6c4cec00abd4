"""A registered module whose orchestrator knows only the Rust wire: it is asked over HTTP in frames.

As Rust's ``start_http_server`` does it, the module opens a connection to where its registration told it, advertises
what it serves, sends heartbeats, and answers what comes over that connection (spec/module-runtime.md §1.14 and §1.15).
The wire has no secrets and no services for it, so those are the environment's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.http_tcp_server import serving_frames
from sdk.module_runtime.channels.sockets import connect
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ProtocolError
from sdk.module_runtime.module.context import ModuleContext
from sdk.module_runtime.module.http import endpoints_of, serving
from sdk.module_runtime.module.registration import RegistrationRefused
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.module_runtime.protocol.registration import AdvertisedEndpoint, Capabilities
from sdk.module_runtime.secrets.client import SecretClient
from sdk.module_runtime.secrets.providers.chosen import chosen_provider
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sdk.module_runtime.channels.channel import Channel
    from sdk.module_runtime.channels.http_tcp_server import HttpTcpServer
    from sdk.module_runtime.module.context import Build, ServeOptions
    from sdk.module_runtime.module.membership import Membership
    from sdk.module_runtime.protocol.init import SocketAddress

_log = get_logger(__name__)
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 30.0


class FramedModule:
    def __init__(
        self,
        membership: Membership,
        options: ServeOptions,
        stopping: asyncio.Event,
        beat_every: float,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._membership, self._options, self._stopping = membership, options, stopping
        self._beat_every, self._jitter = beat_every, jitter
        self._capabilities = Capabilities(endpoints=[])

    async def run(
        self, build: Build, secrets: Sequence[str], listen: SocketAddress | str, environ: Mapping[str, str]
    ) -> None:
        """Until told to stop. ``SdkError`` if the orchestrator cannot be reached or refuses."""
        options, name = self._options, self._membership.info.name
        async with SecretClient(chosen_provider(environ)) as client:
            await client.get_many(secrets)
            app = await build(ModuleContext(name, environ, client, None))
            async with (
                serving(app, listen if options.bind_http else None, drain=options.drain) as http,
                serving_frames(http, options.http_tcp, self._stopping, environ) as frames,
            ):
                endpoints = endpoints_of(app) if options.endpoints is None else options.endpoints
                self._capabilities = Capabilities(
                    endpoints=[AdvertisedEndpoint(path=e.path, methods=e.methods, auth=e.auth) for e in endpoints]
                )
                first = await self._connect(frames)
                await self._membership.advertise(self._capabilities)
                tasks = [asyncio.create_task(self._keep(frames, first)), asyncio.create_task(self._beat())]
                try:
                    _log.info("module_serves", module=name, address=http.address)
                    await self._stopping.wait()
                    await frames.drain(options.drain)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, frames: HttpTcpServer) -> Channel:
        place, module = self._membership.place, self._membership.module
        host = f"[{module.orchestrator_host}]" if ":" in module.orchestrator_host else module.orchestrator_host
        address = parse_socket_address(f"{host}:{module.orchestrator_port}")
        if address is None:
            raise ConfigurationError(f"the orchestrator's address is no ip:port: {host}:{module.orchestrator_port}")
        if place.ssl is None and not ipaddress.ip_address(address.host).is_loopback:
            raise ConfigurationError(f"the orchestrator asks from another machine, {address.host}, which needs TLS")
        return await connect(
            lambda: frames.accept("http over tcp"), address, ssl=place.ssl, server_name=place.server_name
        )

    async def _keep(self, frames: HttpTcpServer, channel: Channel) -> None:
        """Until cancelled: when the connection is lost, open it again."""
        delay = FIRST_DELAY
        while True:
            reason = await asyncio.shield(channel.closed)
            while not channel.is_open:
                _log.warning("http_tcp_connection_lost", reason=reason)
                await asyncio.sleep(delay * (0.5 + self._jitter() / 2))
                try:
                    channel = await self._connect(frames)
                except (LinkClosed, LinkTimeout, ConfigurationError) as error:
                    reason = str(error)
                    delay = min(LONGEST_DELAY, 2 * delay)
                else:
                    delay = FIRST_DELAY

    async def _beat(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._beat_every)
            if await self._membership.beat():
                try:
                    await self._membership.advertise(self._capabilities)
                except (RegistrationRefused, LinkClosed, LinkTimeout, ProtocolError) as error:
                    _log.warning("capabilities_not_taken", reason=str(error))
