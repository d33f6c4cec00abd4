"""``sdk monitor run|once|status``"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from sdk.monitor.errors import TasksFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sdk.monitor.monitor import Monitor
    from sdk.monitor.settings import MonitorSettings
    from sdk.monitor.storage.task_rows import Finished


@click.group(name="monitor", help="Send, prove and repair what wallets have queued.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


@command.command(name="run", help="Work until stopped (SIGTERM or Ctrl-C); health and metrics over HTTP.")
@click.option("--backend", help="Whose work; a name of the plugin group sdk.monitor.backends.  [default: wallet]")
@click.option("--host", help="Where to serve health and metrics.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="0 takes a free one.  [default: 8095]")
def run(backend: str | None, host: str | None, port: int | None) -> None:
    from sdk.service.logging import configure_logging

    configure_logging()
    asyncio.run(_run(_settings(backend=backend, host=host, port=port)))


@command.command(name="once", help="Run TASKS now (by default everything that is due) and exit; 1 if one failed.")
@click.option("--backend", help="Whose work.  [default: wallet]")
@click.argument("tasks", nargs=-1)
def once(backend: str | None, tasks: tuple[str, ...]) -> None:
    ended = asyncio.run(_once(_settings(backend=backend), tasks))
    for each in ended:
        figures = " ".join(f"{name}={count}" for name, count in sorted(each.detail.items()))
        click.echo(f"{each.name:20} {each.outcome:8} {each.milliseconds:6} ms  {figures}")
    failed = [each for each in ended if each.outcome != "ok"]
    if failed:
        raise TasksFailed("; ".join(f"{each.name}: {each.message or each.outcome}" for each in failed))


@command.command(name="status", help="When each task ran, is due, and who holds it; exit 1 if one keeps failing.")
@click.option("--backend", help="Whose work.  [default: wallet]")
def status(backend: str | None) -> None:
    rows = asyncio.run(_status(_settings(backend=backend)))
    for row in rows:
        state = "never ran" if row.outcome is None else row.outcome if not row.failures else f"failing {row.failures}x"
        held = f"  held by {row.owner}" if row.owner else ""
        click.echo(
            f"{row.name:20} {state:12} runs {row.runs}  items {row.processed}  due {row.next_run:%H:%M:%S}{held}"
        )
        if row.message:
            click.echo(f"{'':20} {row.message[:200]}")
    if any(row.failures > 1 for row in rows):
        raise SystemExit(1)


def _settings(**given: Any) -> MonitorSettings:
    from sdk.monitor.settings import MonitorSettings

    return MonitorSettings.load(**given)


@asynccontextmanager
async def _opened(
    settings: MonitorSettings, on_finish: Callable[[Finished], None] | None = None
) -> AsyncIterator[Monitor]:
    """A monitor over the backend that the settings name, and everything it needs; closed at the end."""
    from sdk.monitor.monitor import Monitor, loaded_backend
    from sdk.service.database import Database

    backend = await loaded_backend(settings.backend)()
    try:
        database = backend.database
        if settings.database is not None:
            database = await Database.open(settings.database, schema=settings.database_schema)
        try:
            yield Monitor(backend, database, settings=settings, on_finish=on_finish)
        finally:
            if database is not backend.database:
                await database.close()
    finally:
        await backend.close()


async def _run(settings: MonitorSettings) -> None:
    from sdk.monitor.server import TaskMetrics, monitor_app, monitor_registry
    from sdk.service.http_app import serve

    registry = monitor_registry()
    async with _opened(settings, TaskMetrics(registry)) as monitor:
        await monitor.start()
        try:
            await serve(
                monitor_app(monitor, registry),
                settings.host,
                settings.port,
                ready=lambda server: click.echo(f"monitor of {settings.backend}: {server.url}"),
            )
        finally:
            await monitor.stop()


async def _once(settings: MonitorSettings, tasks: tuple[str, ...]) -> list[Finished]:
    async with _opened(settings) as monitor:
        return await monitor.run_once(tasks)


async def _status(settings: MonitorSettings) -> list[Any]:
    async with _opened(settings) as monitor:
        return await monitor.status()
