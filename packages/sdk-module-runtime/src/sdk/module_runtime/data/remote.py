"""What the proxies for databases and caches need of the link to the orchestrator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ServiceOperationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.core.errors import SdkError
    from sdk.module_runtime.ports import OrchestratorLink

OURS: Final = "correlation"
"""Only an orchestrator of ours announces it, and it reads more than the Rust wire says."""


class Remote:
    """One service connection. What the orchestrator refuses is raised as the typed error its text stands for."""

    def __init__(
        self, link: OrchestratorLink, service: str, error_of: Callable[[str], SdkError], *, timeout: float
    ) -> None:
        self._link, self._service, self._error_of, self._timeout = link, service, error_of, timeout
        self._connection: str | None = None

    @property
    def is_ours(self) -> bool:
        return OURS in self._link.extensions

    async def open(self, config: Mapping[str, Any]) -> None:
        """Raises ``LinkClosed`` and ``LinkTimeout`` too."""
        try:
            self._connection = await self._link.open_service(self._service, config, timeout=self._timeout)
        except ServiceOperationFailed as error:
            raise self._error_of(error.reason) from error

    async def do(self, operation: str, params: Mapping[str, Any], *, timeout: float | None = None) -> Any:
        """Raises ``LinkClosed`` and ``LinkTimeout`` too: then nobody knows whether it was done."""
        if self._connection is None:
            raise LinkClosed("it was closed; open it again")
        try:
            return await self._link.operate(
                self._connection, self._service, operation, params, timeout=timeout or self._timeout
            )
        except ServiceOperationFailed as error:
            raise self._error_of(error.reason) from error

    async def close(self) -> bool:
        """Whether there was something to close. A link that is gone has closed it already."""
        if self._connection is None:
            return False
        connection, self._connection = self._connection, None
        try:
            await self._link.operate(connection, self._service, "close", {}, timeout=self._timeout)
        except (LinkClosed, LinkTimeout, ServiceOperationFailed):
            return False
        return True


class Background:
    """Work that goes on when its caller does not wait for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller has it, or went away
