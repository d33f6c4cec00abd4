"""An empty database that a host lends to this process, as an orchestrator lends it to a module."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sdk.module_runtime.data.database import PoolConfig
from sdk.module_runtime.process_link import ProcessLink, set_process_link
from support.host_link import hosted
from support.module_databases import module_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sdk.module_runtime.data.database import DatabaseConfig
    from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
    from support.host_link import HostLink

DIALECTS = {"sqlite": "sqlite", "postgresql": "postgres", "mariadb": "mysql"}
POOL = PoolConfig(max_connections=20)
EXTENSIONS = ("correlation", "sessions")


@contextmanager
def lent_database(
    dialect: str, folder: Path, **limits: float
) -> Iterator[tuple[str, DatabaseConfig, DatabaseHost, HostLink]]:
    """Its URL, what it is for the orchestrator, the host, and the module's link. The host has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    kind = DIALECTS[dialect]
    try:
        with module_database(kind, folder, POOL) as config:
            opened = hosted(config, trusted=False, extensions=EXTENSIONS, **{"connections": 40, **limits})
            host, link = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result()
            set_process_link(ProcessLink(link, loop))
            try:
                name = {"mariadb": "mysql"}.get(dialect, dialect)
                yield f"lent+{name}://main", config, host, link
            finally:
                set_process_link(None)
                asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
