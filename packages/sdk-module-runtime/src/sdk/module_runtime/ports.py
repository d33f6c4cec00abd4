"""The seams of the runtime: what a module asks of its orchestrator, and what serves it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence


class OrchestratorLink(Protocol):
    """A module's connection to its orchestrator, whatever carries it (stdio, a channel, standalone TCP).

    Every call has a time limit and raises ``LinkTimeout``, ``LinkClosed`` or ``ServiceOperationFailed``.
    """

    @property
    def extensions(self) -> frozenset[str]:
        """What the orchestrator announced beyond the Rust wire; empty under a foreign one."""
        ...

    async def open_service(
        self, service_type: str | Mapping[str, str], config: Mapping[str, Any] | None, *, timeout: float | None = None
    ) -> str:
        """The connection id of a new service connection (``Database``, ``Cache``, ``Jwt`` or ``{"Custom": name}``)."""
        ...

    async def operate(
        self,
        connection_id: str,
        service_type: str | Mapping[str, str],
        operation: str,
        params: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        """The ``result`` of one service operation. Those of one transaction are done in the order they were sent."""
        ...

    async def get_secret(self, name: str, *, timeout: float | None = None) -> tuple[str, str | None]:
        """``(value, rotation_id)``."""
        ...

    async def acknowledge_rotation(self, rotation_id: str, *, success: bool, message: str | None = None) -> None: ...

    def on_rotated(self, listener: Callable[[Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        """Calls ``listener(keys, rotation_id)`` for each rotation; answers a function that ends it."""
        ...

    async def extension_call(self, extension: str, operation: str, params: Any, *, timeout: float | None = None) -> Any:
        """A call of our own, sent only to an orchestrator that announced ``extension``; else ``Unsupported``."""
        ...


class ServiceHost(Protocol):
    """Serves one service type inside the orchestrator. Modules are told apart by ``module_id``, which is verified."""

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        """A new connection of this module; its id is worth nothing to another module."""
        ...

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any: ...

    async def release(self, module_id: str) -> None:
        """The module is gone: roll back what is open, give back what it held."""
        ...

    async def close(self) -> None: ...


class SecretKeeper(Protocol):
    """The orchestrator's secret store, as conversations with modules see it. Rights are checked here, per module."""

    async def get(self, module_id: str, name: str) -> tuple[str, str | None]:
        """``(value, rotation_id)``; ``rotation_id`` while a rotation of it is not yet acknowledged by this module."""
        ...

    async def call(self, module_id: str, operation: str, params: Any) -> Any:
        """The answer to an operation of the ``secrets`` extension: ``get``, ``set``, ``delete``, ``list``."""
        ...

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None: ...

    async def pending(self, module_id: str) -> Sequence[tuple[Sequence[str], str]]:
        """``(keys, rotation_id)`` of rotations that a module which connects again must be told of."""
        ...

    def on_rotated(self, listener: Callable[[str, Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        """Calls ``listener(module_id, keys, rotation_id)`` for each module a rotation concerns; the result ends it."""
        ...

    async def close(self) -> None: ...
