"""Stores of every kind, opened again over the same data."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.store import HeaderStore
from sdk.chaintracks.store.files import FileBulk
from sdk.chaintracks.store.flat import MemoryBulk
from sdk.chaintracks.store.memory import MemoryLive
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import sql_store
from sdk.chaintracks.store.sql import SqlLive
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.databases import DIALECTS, empty_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from pathlib import Path

    from sdk.chaintracks.store import Bulk, Live

KINDS = ("memory", "files-memory", *(f"sql-{each}" for each in DIALECTS), *(f"files-{each}" for each in DIALECTS))
PER_FILE = 30


class Rig:
    """``store()`` gives the store as a process that starts now would see it; ``memory`` kinds keep their live part."""

    def __init__(self, kind: str, folder: Path, database: Database | None) -> None:
        self.kind, self.folder, self.database = kind, folder, database
        self._bulk: Bulk = MemoryBulk()
        self._live: Live = MemoryLive() if database is None else SqlLive(database)

    def store(self) -> HeaderStore:
        if self.kind.startswith("sql"):
            assert self.database is not None
            return sql_store(self.database)
        return HeaderStore(self.bulk(), self._live)

    def bulk(self) -> Bulk:
        if not self.kind.startswith("files"):
            return self._bulk
        self._bulk.close()
        self._bulk = FileBulk(self.folder / "headers", "mock", per_file=PER_FILE)
        return self._bulk

    async def chain(self, clock: Callable[[], datetime], *, keep: int = 20) -> HeaderChain:
        return await HeaderChain.open("mock", self.store(), clock=clock, keep=keep)

    def close(self) -> None:
        self._bulk.close()


@asynccontextmanager
async def store_rig(kind: str, folder: Path) -> AsyncIterator[Rig]:
    dialect = kind.rpartition("-")[2]
    if dialect not in DIALECTS:
        rig = Rig(kind, folder, None)
        yield rig
        rig.close()
        return
    with empty_database(dialect, folder) as (url, schema):
        async with await Database.open(url, schema=schema) as database:
            await upgrade(database, [MIGRATIONS])
            rig = Rig(kind, folder, database)
            yield rig
            rig.close()
