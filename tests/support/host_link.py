"""A link to real hosts without a process between: what is asked and answered goes through JSON all the same."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError
from sdk.module_runtime.errors import LinkClosed, ServiceOperationFailed, Unsupported
from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
from sdk.module_runtime.orchestrator.hosts.scopes import DatabaseLimits, DatabaseScope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from sdk.module_runtime.data.database import DatabaseConfig
    from sdk.module_runtime.ports import ServiceHost


class HostLink:
    """An ``OrchestratorLink`` of one module. ``cut`` ends it; with ``deaf`` answers are lost, though all is done."""

    def __init__(
        self, module_id: str, hosts: Mapping[str, ServiceHost], extensions: Sequence[str] = ("correlation",)
    ) -> None:
        self.module_id, self._hosts, self.extensions = module_id, hosts, frozenset(extensions)
        self.asked: list[str] = []
        self.deaf: frozenset[str] = frozenset()
        self._is_cut = False

    async def cut(self) -> None:
        self._is_cut = True
        for host in self._hosts.values():
            await host.release(self.module_id)

    async def open_service(
        self, service_type: str | Mapping[str, str], config: Mapping[str, Any] | None, *, timeout: float | None = None
    ) -> str:
        answer = await self._answer(
            str(service_type), "open", self._hosts[str(service_type)].open(self.module_id, _wire(config))
        )
        assert isinstance(answer, str)
        return answer

    async def operate(
        self,
        connection_id: str,
        service_type: str | Mapping[str, str],
        operation: str,
        params: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        self.asked.append(operation)
        host = self._hosts[str(service_type)]
        work = host.operate(self.module_id, connection_id, operation, _wire(params))
        return await self._answer(str(service_type), operation, work)

    async def _answer(self, service: str, operation: str, work: Any) -> Any:
        if self._is_cut:
            work.close()
            raise LinkClosed("the link was cut")
        task = asyncio.ensure_future(work)  # goes on, whoever stops waiting for it
        try:
            result = _wire(await asyncio.shield(task))
        except SdkError as error:
            raise ServiceOperationFailed(service, operation, str(error)) from None
        if operation in self.deaf:
            raise LinkClosed("the answer was lost")
        return result

    async def get_secret(self, name: str, *, timeout: float | None = None) -> tuple[str, str | None]:
        raise Unsupported("secrets", name)

    async def acknowledge_rotation(self, rotation_id: str, *, success: bool, message: str | None = None) -> None:
        raise Unsupported("secrets", rotation_id)

    def on_rotated(self, listener: Callable[[Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        return lambda: None

    async def extension_call(self, extension: str, operation: str, params: Any, *, timeout: float | None = None) -> Any:
        raise Unsupported(extension, operation)


def _wire(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


@asynccontextmanager
async def hosted(
    config: DatabaseConfig, *, trusted: bool = True, extensions: Sequence[str] = ("correlation",), **limits: Any
) -> AsyncIterator[tuple[DatabaseHost, HostLink]]:
    """A host that lends the module ``m`` this database as ``main``, and the module's link to it."""
    scope = scope_of(config, trusted=trusted, **limits)
    host = DatabaseHost({"m": {"main": scope}}, {"PASSWORD": config.password or ""})
    try:
        yield host, HostLink("m", {"Database": host}, extensions)
    finally:
        await host.close()


def scope_of(config: DatabaseConfig, *, trusted: bool = True, **limits: Any) -> DatabaseScope:
    return DatabaseScope(
        **config.model_dump(exclude={"password"}),
        password_environment="PASSWORD",
        trusted=trusted,
        limits=DatabaseLimits(**limits),
    )
