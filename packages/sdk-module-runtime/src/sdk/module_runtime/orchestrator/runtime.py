"""A stack with everything around it: state folder, database, journal, logs, secrets, services, admin API."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.orchestrator.admin import Admin, serving, serving_tcp
from sdk.module_runtime.orchestrator.happenings import Happening
from sdk.module_runtime.orchestrator.journal import Journal
from sdk.module_runtime.orchestrator.log_book import LogBook
from sdk.module_runtime.orchestrator.orchestrator import Orchestrator
from sdk.module_runtime.orchestrator.orphans import MARK, end_marked
from sdk.module_runtime.orchestrator.port_leases import PortLeases
from sdk.module_runtime.orchestrator.services import open_services, watching
from sdk.module_runtime.orchestrator.stack import resolved
from sdk.module_runtime.orchestrator.state_folder import StateFolder
from sdk.module_runtime.orchestrator.supervisor import log_line
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.service.database import Database
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sdk.module_runtime.orchestrator.stack import Stack

_log = get_logger(__name__)


@dataclass(frozen=True)
class Runtime:
    """A stack that may run: ``await runtime.orchestrator.run(stop)``."""

    orchestrator: Orchestrator
    journal: Journal
    book: LogBook

    def environment_of(self, name: str) -> Mapping[str, str]:
        """What the stack gives a module, with the addresses of others put in."""
        return resolved(self.orchestrator.stack.modules[name], self.orchestrator.board.urls).environment


async def run(stack: Stack, stop: asyncio.Event, *, environ: Mapping[str, str] | None = None) -> None:
    """Until ``stop`` is set. ``ConfigurationError`` and ``StorageError`` before anything was started."""
    async with running(stack, stop, environ=environ) as runtime:
        await runtime.orchestrator.run(stop)


@asynccontextmanager
async def running(
    stack: Stack,
    stop: asyncio.Event,
    *,
    environ: Mapping[str, str] | None = None,
    on_happening: Callable[[Happening], None] = lambda _happening: None,
) -> AsyncIterator[Runtime]:
    """Everything around the modules. ``stop`` is what the admin API sets to end the stack."""
    settings = stack.orchestrator
    environ = os.environ if environ is None else environ
    async with AsyncExitStack() as stack_of:
        folder = StateFolder.open(settings.state)
        stack_of.callback(folder.close)
        orphans = await asyncio.to_thread(end_marked, MARK, folder.id)
        if orphans:
            _log.warning("orphans_ended", processes=orphans)
        database = await stack_of.enter_async_context(
            await open_database(settings.database_url(environ), settings.database_schema)
        )
        journal = Journal(database)
        await journal.reconcile()
        book = LogBook(folder.path / "logs")
        stack_of.callback(book.close)

        def on_line(module_id: str, level: str, line: str) -> None:
            book.add(module_id, level, line)
            log_line(module_id, level, line)

        first, last = settings.ports
        services = await open_services(stack, database, environ)
        board = Switchboard(services.hosts, services.keeper, PortLeases(range(first, last + 1)))

        def tell(happening: Happening) -> None:
            journal.take(happening)
            on_happening(happening)

        board.tell = tell
        orchestrator = Orchestrator(
            stack,
            board,
            environ=environ,
            marks={MARK: folder.id},
            on_line=on_line,
            authorizer=services.authorizer,
            registration_key=services.registration_key,
        )
        await stack_of.enter_async_context(_journaling(journal))
        journal.take(Happening(happenings.ORCHESTRATOR, detail={"state": "started", "orphans": orphans}))
        await stack_of.enter_async_context(orchestrator.ready())
        await stack_of.enter_async_context(watching(services, board))
        await stack_of.enter_async_context(_administered(stack, orchestrator, journal, book, stop, folder))
        yield Runtime(orchestrator, journal, book)
        journal.take(Happening(happenings.ORCHESTRATOR, detail={"state": "stopped", "orphans": 0}))


async def open_database(url: str, schema: str | None = None) -> Database:
    """The orchestrator's own database, with its tables brought up to date."""
    from sdk.module_runtime.storage.migrations import MIGRATIONS
    from sdk.service.migrations import status, upgrade

    database = await Database.open(url, schema=schema)
    try:
        (found,) = await status(database, [MIGRATIONS])
        if not found.up_to_date:
            await upgrade(database, [MIGRATIONS])
    except BaseException:
        await database.close()
        raise
    return database


@asynccontextmanager
async def _journaling(journal: Journal) -> AsyncIterator[None]:
    writing = asyncio.create_task(journal.run())
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await journal.close()


@asynccontextmanager
async def _administered(
    stack: Stack,
    orchestrator: Orchestrator,
    journal: Journal,
    book: LogBook,
    stop: asyncio.Event,
    folder: StateFolder,
) -> AsyncIterator[None]:
    async with AsyncExitStack() as served:
        url = None
        if stack.orchestrator.admin is not None:
            address = parse_socket_address(stack.orchestrator.admin)
            assert address is not None  # the stack was checked
            guarded = Admin(orchestrator, journal, book, stop, token=folder.admin_token)
            url = await served.enter_async_context(serving_tcp(guarded, address))
        admin = Admin(orchestrator, journal, book, stop, token=None)
        path = folder.publish(url)
        await served.enter_async_context(serving(admin, path))
        _log.info("admin_listening", socket=path, url=url)
        yield
