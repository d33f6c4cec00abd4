"""Where an SQLite database is: in a file, in memory, or with an orchestrator that lends it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sdk.core.errors import ConfigurationError, StorageUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa


class SqlitePlace(Protocol):
    """``where`` is what errors call it, ``url`` one of SQLAlchemy for its dialect."""

    where: str
    url: str
    has_one_connection: bool
    """Which then serves reads too."""

    def connect(self, *, write: bool) -> sqlite3.Connection: ...

    def prepare(self, connection: sqlite3.Connection, *, write: bool) -> None:
        """R66: what must stand on every connection. May be done again where the database was locked."""
        ...


def place_of(url: sa.URL, timeout: float, *, read_only: bool, create: bool) -> SqlitePlace:
    """``ConfigurationError`` or ``StorageUnavailable`` if there can be none."""
    if url.query:
        raise ConfigurationError(f"{url!s}: options after '?' are not understood; name only the file")
    if url.drivername == "lent+sqlite":
        return _Lent(url)
    if url.database in (None, "", ":memory:"):
        if read_only:
            raise ConfigurationError("a database in memory cannot be read-only")
        return _Memory(timeout)
    return _File(Path(str(url.database)).absolute(), timeout, read_only=read_only, create=create and not read_only)


class _Memory:
    url = "sqlite://"
    where = "the database in memory"
    has_one_connection = True

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def connect(self, *, write: bool) -> sqlite3.Connection:
        return _opened(":memory:", self._timeout)

    def prepare(self, connection: sqlite3.Connection, *, write: bool) -> None:
        _harden(connection)
        connection.execute("PRAGMA busy_timeout=0")


class _File:
    url = "sqlite://"
    has_one_connection = False

    def __init__(self, path: Path, timeout: float, *, read_only: bool, create: bool) -> None:
        self._path, self._timeout, self._read_only, self._create = path, timeout, read_only, create
        self.where = str(path)
        self._check()

    def connect(self, *, write: bool) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rwc" if write and self._create else "rw"
        return _opened(f"{self._path.as_uri()}?mode={mode}", self._timeout)

    def prepare(self, connection: sqlite3.Connection, *, write: bool) -> None:
        _harden(connection)
        if write:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA journal_size_limit=67108864")
            connection.execute("PRAGMA busy_timeout=0")
        else:
            connection.execute("PRAGMA query_only=ON")

    def _check(self) -> None:
        path = self._path
        if not path.parent.is_dir():
            raise StorageUnavailable(
                f"the directory {path.parent} does not exist; create it, or name another database file"
            )
        if path.is_dir():
            raise StorageUnavailable(f"{path} is a directory; name a database file")
        if not self._create and not path.exists():
            raise StorageUnavailable(f"{path} does not exist; `sdk db upgrade --url sqlite:///{path}` creates it")
        if not self._read_only:
            target = path if path.exists() else path.parent
            if not os.access(target, os.W_OK):
                raise StorageUnavailable(
                    f"{target} cannot be written by this user; change its permissions or open it read-only"
                )


class _Lent:
    """The orchestrator has the file, and sets what is to stand on each connection but who may write on it."""

    has_one_connection = False

    def __init__(self, url: sa.URL) -> None:
        self.where, self.url = f"the lent database {url.host}", url.render_as_string()
        self._dialect = url.get_dialect()()
        self._arguments, _ = self._dialect.create_connect_args(url)

    def connect(self, *, write: bool) -> Any:
        connection: Any = self._dialect.connect(*self._arguments)
        connection.isolation_level = None
        return connection

    def prepare(self, connection: sqlite3.Connection, *, write: bool) -> None:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not write:
            connection.execute("PRAGMA query_only=ON")


def is_lost(connection: Any) -> bool:
    """Whether a connection is of no more use. A file's never is, a lent one when its session is over."""
    return bool(getattr(connection, "is_lost", False))


def _opened(target: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(
        target, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=512
    )


def _harden(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
