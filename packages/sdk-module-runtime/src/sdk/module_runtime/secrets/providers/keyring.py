"""Secrets in the keyring of the operating system, through the library ``keyring``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.secrets.errors import SecretBackendError, SecretNotFound
from sdk.module_runtime.secrets.names import check_name, check_value
from sdk.module_runtime.secrets.provider import Change, Fetched, SecretProvider
from sdk.module_runtime.secrets.typed import Secret

if TYPE_CHECKING:
    from collections.abc import Callable


class KeyringProvider(SecretProvider):
    """Each secret is the password of the user ``name`` at ``service``. A keyring cannot be listed."""

    kind: ClassVar[str] = "keyring"

    def __init__(self, service: str = "sdk-module-runtime") -> None:
        super().__init__()
        try:
            import keyring
            import keyring.errors
        except ImportError:
            raise ConfigurationError("for a keyring, install sdk-module-runtime[keyring]") from None
        self._keyring: Any = keyring
        self._service = service

    async def get(self, name: str) -> Fetched:
        value = await self._run(check_name(name), self._keyring.get_password, self._service, name)
        if value is None:
            raise SecretNotFound(name)
        return Fetched(Secret(value))

    async def set(self, name: str, value: str) -> None:
        check_value(name, value)
        secret = Secret(value)
        check_name(name)
        before = await self._run(name, self._keyring.get_password, self._service, name)
        await self._run(name, self._keyring.set_password, self._service, name, secret.expose())
        if before is None:
            await self._tell(Change(added=frozenset({name})))
        elif before != value:
            await self._tell(Change(changed=frozenset({name})))

    async def delete(self, name: str) -> None:
        await self.get(name)
        await self._run(name, self._keyring.delete_password, self._service, name)
        await self._tell(Change(removed=frozenset({name})))

    async def _run(self, name: str, function: Callable[..., Any], *args: str) -> Any:
        try:
            return await asyncio.to_thread(function, *args)
        except Exception as error:  # noqa: BLE001 - backends raise what they like besides KeyringError, values included
            raise SecretBackendError(name, f"the keyring failed: {type(error).__name__}") from None
