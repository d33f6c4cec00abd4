"""Several sources, asked in order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from sdk.module_runtime.secrets.errors import SecretNotFound, SecretUnsupported
from sdk.module_runtime.secrets.provider import SecretProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.module_runtime.secrets.provider import Change, Fetched


class ChainedProvider(SecretProvider):
    """The first that has the name answers; only "not found" moves on, so that a broken source is never passed over.

    Setting and deleting go to the first that can.
    """

    kind: ClassVar[str] = "chained"

    def __init__(self, providers: Sequence[SecretProvider]) -> None:
        super().__init__()
        if not providers:
            raise ValueError("a chain needs a provider")
        self._providers = tuple(providers)
        self._ends = [each.on_change(partial(self._pass_on, each)) for each in self._providers]
        self._rotations: dict[str, SecretProvider] = {}

    async def get(self, name: str) -> Fetched:
        for provider in self._providers:
            try:
                fetched = await provider.get(name)
            except SecretNotFound:
                continue
            if fetched.rotation_id is not None:
                self._rotations[fetched.rotation_id] = provider
            return fetched
        raise SecretNotFound(name, f"asked {', '.join(each.kind for each in self._providers)}")

    async def set(self, name: str, value: str) -> None:
        for provider in self._providers:
            try:
                return await provider.set(name, value)
            except SecretUnsupported:
                continue
        raise SecretUnsupported(name, "no provider of the chain can set secrets")

    async def delete(self, name: str) -> None:
        for provider in self._providers:
            try:
                return await provider.delete(name)
            except SecretUnsupported:
                continue
        raise SecretUnsupported(name, "no provider of the chain can delete secrets")

    async def names(self) -> list[str]:
        found: set[str] = set()
        for provider in self._providers:
            try:
                found.update(await provider.names())
            except SecretUnsupported:
                continue
        return sorted(found)

    async def acknowledge(self, rotation_id: str, *, success: bool, message: str | None = None) -> None:
        provider = self._rotations.pop(rotation_id, None)
        if provider is not None:
            await provider.acknowledge(rotation_id, success=success, message=message)

    def start(self) -> None:
        for provider in self._providers:
            provider.start()

    async def close(self) -> None:
        for end in self._ends:
            end()
        for provider in self._providers:
            await provider.close()

    async def _pass_on(self, provider: SecretProvider, change: Change) -> None:
        if change.rotation_id is not None:
            self._rotations[change.rotation_id] = provider
        await self._tell(change)
