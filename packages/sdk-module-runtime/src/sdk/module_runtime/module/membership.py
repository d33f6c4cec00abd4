"""Being known to an orchestrator that did not start this module: where it is, who we are there, and saying so again."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.tls import CA, TlsFiles, client_context
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ProtocolError
from sdk.module_runtime.module.registration import Registration, RegistrationRefused
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.module_runtime.secrets.redaction import register_secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from sdk.module_runtime.protocol.init import SocketAddress
    from sdk.module_runtime.protocol.registration import Capabilities, ModuleInfo, RegisteredModule

_log = get_logger(__name__)
KEY: Final = "SDK_REGISTRATION_KEY"
LAST_WORDS: Final = 2.0
_UNANSWERED: Final = (RegistrationRefused, LinkClosed, LinkTimeout, ProtocolError)


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


class Membership:
    """``module`` is what the orchestrator knows us as, after ``enter``. ``info`` never holds the registration key."""

    module: RegisteredModule

    def __init__(self, info: ModuleInfo, place: OrchestratorAddress) -> None:
        self.info, self.place = info, place
        metadata = dict(info.metadata or {})
        if place.key is not None:
            register_secret(place.key)
            metadata["registration_key"] = place.key
        self._sent = info.model_copy(update={"metadata": metadata or None})
        self._registration = Registration(place.address, ssl=place.ssl, server_name=place.server_name)
        self._is_member = False

    async def enter(self) -> RegisteredModule:
        """Register. ``RegistrationRefused``, ``LinkClosed``, ``LinkTimeout`` or ``ProtocolError``."""
        self.module = await self._registration.register(self._sent)
        self._is_member = True
        register_secret(self.module.token)
        _log.info("module_registered", module=self.info.name, id=str(self.module.id))
        return self.module

    async def advertise(self, capabilities: Capabilities) -> None:
        """As ``enter``."""
        await self._registration.advertise(self.module, capabilities)

    async def beat(self) -> bool:
        """Say that this module is well, and register anew where nobody knows it any more; True if that was so."""
        try:
            await self._registration.heartbeat(self.module, "Healthy")
        except RegistrationRefused:
            return await self._enter_again()
        except _UNANSWERED as error:
            _log.warning("heartbeat_not_taken", reason=str(error))
        return False

    async def leave(self) -> None:
        if self._is_member:
            with contextlib.suppress(*_UNANSWERED, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._registration.unregister(self.module)
        self._registration.close()

    async def _enter_again(self) -> bool:
        try:
            await self.enter()
        except _UNANSWERED as error:
            _log.warning("module_not_registered", reason=str(error))
            return False
        return True
