"""Secrets in the memory of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sdk.module_runtime.secrets.errors import SecretNotFound
from sdk.module_runtime.secrets.names import check_name, check_value
from sdk.module_runtime.secrets.provider import Change, Fetched, SecretProvider
from sdk.module_runtime.secrets.typed import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping


class MemoryProvider(SecretProvider):
    kind: ClassVar[str] = "memory"

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._secrets = {check_name(name): Secret(value) for name, value in (values or {}).items()}

    async def get(self, name: str) -> Fetched:
        if name not in self._secrets:
            raise SecretNotFound(name)
        return Fetched(self._secrets[name])

    async def set(self, name: str, value: str) -> None:
        check_value(name, value)
        secret = Secret(value)
        check_name(name)
        known = self._secrets.get(name)
        self._secrets[name] = secret
        if known is None:
            await self._tell(Change(added=frozenset({name})))
        elif known != secret:
            await self._tell(Change(changed=frozenset({name})))

    async def delete(self, name: str) -> None:
        if self._secrets.pop(name, None) is None:
            raise SecretNotFound(name)
        await self._tell(Change(removed=frozenset({name})))

    async def names(self) -> list[str]:
        return sorted(self._secrets)
