"""A module's link that ends in a real secret store, without a process or wire between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sdk.module_runtime.errors import LinkTimeout, Unsupported
from sdk.module_runtime.secrets.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets


class KeeperLink:
    """``OrchestratorLink`` of one module, for secrets. ``foreign``: as an orchestrator of the Rust wire answers."""

    def __init__(self, keeper: ModuleSecrets, module_id: str, *, foreign: bool = False) -> None:
        self._keeper, self._module_id = keeper, module_id
        self.extensions = frozenset() if foreign else frozenset({"secrets"})
        self._listeners: list[Callable[[Sequence[str], str], Awaitable[None]]] = []
        self.acknowledged: list[tuple[str, bool, str | None]] = []
        self.progress = asyncio.Event()
        self.connected = True
        keeper.on_rotated(self._rotated)

    async def get_secret(self, name: str, *, timeout: float | None = None) -> tuple[str, str | None]:
        try:
            return await self._keeper.get(self._module_id, name)
        except SecretError:
            raise LinkTimeout("get_secret") from None

    async def extension_call(self, extension: str, operation: str, params: Any, *, timeout: float | None = None) -> Any:
        if extension not in self.extensions:
            raise Unsupported(extension, operation)
        return await self._keeper.call(self._module_id, operation, params)

    async def acknowledge_rotation(self, rotation_id: str, *, success: bool, message: str | None = None) -> None:
        await self._keeper.acknowledge(self._module_id, rotation_id, success=success, message=message)
        self.acknowledged.append((rotation_id, success, message))
        self.progress.set()

    async def until_acknowledged(self, count: int) -> list[tuple[str, bool, str | None]]:
        async with asyncio.timeout(10):
            while len(self.acknowledged) < count:
                self.progress.clear()
                await self.progress.wait()
        return self.acknowledged

    def on_rotated(self, listener: Callable[[Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def _rotated(self, module_id: str, names: Sequence[str], rotation_id: str) -> None:
        if module_id == self._module_id and self.connected:
            for listener in self._listeners:
                await listener(names, rotation_id)

    async def open_service(
        self, service_type: str | Mapping[str, str], config: Mapping[str, Any] | None, *, timeout: float | None = None
    ) -> str:
        raise AssertionError("this link carries secrets alone")

    async def operate(
        self,
        connection_id: str,
        service_type: str | Mapping[str, str],
        operation: str,
        params: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        raise AssertionError("this link carries secrets alone")
