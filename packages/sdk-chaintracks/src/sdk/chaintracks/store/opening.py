"""From what an operator writes to a store, through the plugins of ``sdk.chaintracks.stores``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sdk.chaintracks.store.files import FileBulk
from sdk.chaintracks.store.flat import MemoryBulk
from sdk.chaintracks.store.folders import open_first_free
from sdk.chaintracks.store.memory import MemoryLive
from sdk.chaintracks.store.ports import HeaderStore
from sdk.chaintracks.store.sql import SqlLive
from sdk.core.errors import ConfigurationError, PluginNotFound
from sdk.core.plugins import PluginRegistry

if TYPE_CHECKING:
    from sdk.service.database import Database

GROUP: Final = "sdk.chaintracks.stores"


@dataclass(frozen=True, slots=True)
class StoreContext:
    """What a store may need: the network's name, and a database whose tables are made; None for stores without.

    ``folder`` is where a store keeps files when it is given no place for them.
    """

    chain: str
    database: Database | None = None
    folder: Path | None = None


class StoreType(Protocol):
    """What a plugin offers. ``open`` raises ``ConfigurationError`` for a ``location`` it cannot use."""

    def open(self, location: str, context: StoreContext) -> HeaderStore: ...


class FileStore:
    """``files`` or ``files:FOLDER``: buried headers in flat files, those near the tip in the database.

    A database filled by ``sql`` is taken over: its buried headers are written to the files at the first start.
    """

    @staticmethod
    def open(location: str, context: StoreContext) -> HeaderStore:
        database = _database(context)
        if location:
            return file_store(database, Path(location), context.chain)
        if context.folder is None:
            raise ConfigurationError("name the folder for the headers: files:FOLDER")
        return HeaderStore(open_first_free(context.folder, context.chain), SqlLive(database))


class SqlStore:
    """``sql``: everything in the database; for small networks, and where a process has no disk of its own."""

    @staticmethod
    def open(location: str, context: StoreContext) -> HeaderStore:
        return sql_store(_database(context))


class MemoryStore:
    """``memory``: gone with the process."""

    @staticmethod
    def open(location: str, context: StoreContext) -> HeaderStore:
        return memory_store()


def file_store(database: Database, folder: Path, chain: str) -> HeaderStore:
    return HeaderStore(FileBulk(folder, chain), SqlLive(database))


def sql_store(database: Database) -> HeaderStore:
    return HeaderStore(MemoryBulk(), SqlLive(database), rows_stay=True)


def memory_store() -> HeaderStore:
    return HeaderStore(MemoryBulk(), MemoryLive())


def open_store(written: str, context: StoreContext) -> HeaderStore:
    """The store named ``plugin`` or ``plugin:location``."""
    name, _, location = written.partition(":")
    registry: PluginRegistry[StoreType] = PluginRegistry(GROUP)
    try:
        plugin = registry.load(name)
    except PluginNotFound as error:
        raise ConfigurationError(
            f"--store {written}: no kind of store is named {name!r} (there are {', '.join(error.available)})"
        ) from None
    return plugin.open(location, context)


def _database(context: StoreContext) -> Database:
    if context.database is None:
        raise ConfigurationError("this kind of store needs a database")
    return context.database
