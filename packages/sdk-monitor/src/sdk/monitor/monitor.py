"""``Monitor``: the scheduler with its installed tasks, started and stopped as one."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sdk.core.errors import ConfigurationError, InvalidOperation
from sdk.core.plugins import PluginRegistry
from sdk.monitor.scheduler import Scheduler
from sdk.monitor.settings import MonitorSettings
from sdk.monitor.storage.migrations import MIGRATIONS
from sdk.monitor.storage.task_rows import all_tasks
from sdk.service.logging import get_logger
from sdk.service.migrations import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sdk.core.ports import Clock
    from sdk.monitor.ports import Backend
    from sdk.monitor.storage.task_rows import Finished
    from sdk.monitor.tasks.base import Task
    from sdk.service.database import Database, Row

TASKS = "sdk.monitor.tasks"

log = get_logger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def installed_tasks(disabled: Iterable[str] = ()) -> list[Task]:
    """An object of each class in the group ``sdk.monitor.tasks``. One that cannot be loaded is logged and left out.

    Raises ``ConfigurationError`` if ``disabled`` names one that is not installed.
    """
    registry: PluginRegistry[type[Task]] = PluginRegistry(TASKS)
    unwanted = set(disabled)
    if unknown := unwanted - set(registry):
        raise ConfigurationError(f"SDK_MONITOR_DISABLED names {', '.join(sorted(unknown))}, which is not installed")
    found = []
    for name in registry:
        if name in unwanted:
            continue
        try:
            found.append(registry.load(name)())
        except Exception:
            log.exception("a task cannot be loaded and is left out", task=name)
    return found


class Monitor:
    """Schedules ``backend``'s work. Its tables are in ``database`` and are made or upgraded by ``start``.

    Any number of monitors may share a database: each task runs on one of them at a time. The backend and the database
    stay open when it stops.
    """

    def __init__(
        self,
        backend: Backend,
        database: Database,
        *,
        clock: Clock = utc_now,
        settings: MonitorSettings | None = None,
        tasks: Iterable[Task] | None = None,
        owner: str | None = None,
        on_finish: Callable[[Finished], None] | None = None,
    ) -> None:
        self.settings = settings or MonitorSettings.load()
        self._database = database
        self.scheduler = Scheduler(
            database,
            backend,
            installed_tasks(self.settings.disabled) if tasks is None else tasks,
            settings=self.settings,
            clock=clock,
            owner=owner or f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid4().hex[:12]}",
            on_finish=on_finish,
        )
        self._stop = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._is_prepared = False

    async def prepare(self) -> None:
        """Make or upgrade the tables. Raises ``SchemaTooNew`` or ``StorageError``."""
        if not self._is_prepared:
            await upgrade(self._database, [MIGRATIONS])
            await self.scheduler.prepare()
            self._is_prepared = True

    async def start(self) -> None:
        """Work in the background until ``stop``. Raises ``InvalidOperation`` if it works already."""
        if self._loop is not None:
            raise InvalidOperation("this monitor is running already")
        await self.prepare()
        self._stop.clear()
        self._loop = asyncio.create_task(self.scheduler.run(self._stop), name="monitor")
        log.info("the monitor works", tasks=list(self.scheduler.names))

    async def stop(self) -> None:
        """Start nothing more, let what runs end, give leases back. Harmless if it does not run."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        self._stop.set()
        await loop

    async def run_once(self, names: Sequence[str] = ()) -> list[Finished]:
        """Run ``names`` now, or everything that is due; how each run ended."""
        await self.prepare()
        return await (self.scheduler.run_now(names) if names else self.scheduler.run_due())

    async def status(self) -> list[Row]:
        """One row of ``monitor_tasks`` for each task any worker ever ran."""
        await self.prepare()
        return await self._database.read(all_tasks)

    async def readiness(self) -> str | None:
        """``None`` while it works; otherwise why not."""
        if self._loop is None:
            return "the monitor does not run"
        if self._loop.done():
            return "the scheduler has ended"
        if self._database.failure is not None:
            return f"the database has failed: {self._database.failure}"
        return None


def loaded_backend(name: str) -> Any:
    """The ``OpenBackend`` of that name. Raises ``PluginError``."""
    registry: PluginRegistry[Any] = PluginRegistry("sdk.monitor.backends")
    return registry.load(name)
