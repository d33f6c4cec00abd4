"""The facade: one database, asynchronous outside, plain functions inside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

import sqlalchemy as sa

from sdk.core.errors import ConfigurationError, StorageError
from sdk.service.database.jobs import Job
from sdk.service.database.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sdk.service.database.jobs import Figures
    from sdk.service.database.unit import Driver, Unit

_ONE = Prepared(sa.select(sa.literal(1)))

P = ParamSpec("P")
T = TypeVar("T")


class Backend(Protocol):
    """What stands behind a ``Database``. ``read``, ``write`` and ``migrate`` hand a job over and return at once."""

    @property
    def driver(self) -> Driver: ...
    @property
    def failure(self) -> BaseException | None: ...
    @property
    def figures(self) -> Figures: ...
    def read(self, job: Job) -> None: ...
    def write(self, job: Job) -> None: ...
    def migrate(self, job: Job) -> None: ...
    def close(self) -> None: ...


class Database:
    """Runs units of work; see docs/database.md. Bound to no event loop; close it with ``await close()``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        schema: str | None = None,
        read_only: bool = False,
        create: bool = True,
        readers: int = 4,
        writers: int = 8,
        timeout: float = 60.0,
        isolation: str = "serializable",
    ) -> Database:
        """Connect to ``sqlite:///path``, ``postgresql+psycopg://…`` or ``mysql+pymysql://…``.

        In a module, ``lent+sqlite://NAME``, ``lent+postgresql://NAME`` or ``lent+mysql://NAME`` is what its
        orchestrator lends it under that name (sdk-module-runtime).

        ``schema`` names a PostgreSQL schema (made if missing) or a MySQL database. Without ``create`` an SQLite file
        that is not there is refused, not made. ``timeout``, in seconds, bounds the
        wait for a lock. ``writers`` and ``isolation`` are for servers; SQLite has one writer and is serializable.
        Raises ``ConfigurationError`` for a URL that cannot work and ``StorageUnavailable`` if nothing answers there.
        """
        return cls(
            await asyncio.to_thread(
                _backend,
                url,
                schema=schema,
                read_only=read_only,
                create=create,
                readers=readers,
                writers=writers,
                timeout=timeout,
                isolation=isolation,
            )
        )

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql`` (MariaDB too)."""
        return self._backend.driver.name

    @property
    def failure(self) -> BaseException | None:
        """What has ended this database for good, if something has; for readiness checks."""
        return self._backend.failure

    @property
    def figures(self) -> Figures:
        """Units, commits, repeats and waiting units, for metrics."""
        return self._backend.figures

    async def check(self) -> str | None:
        """For readiness: None, or why this database cannot serve."""
        if self.failure is not None:
            return f"the database writer has died ({self.failure!r})"
        try:
            await self.read(_nothing)
        except StorageError as error:
            return str(error)
        return None

    async def read(self, function: Callable[Concatenate[Unit, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(unit, *args)`` on a snapshot of its own; it cannot write."""
        job = Job.of(_bound(function, kwargs), args)
        self._backend.read(job)
        return cast("T", await job.future)

    async def write(self, function: Callable[Concatenate[Unit, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(unit, *args)`` in one transaction; returns after COMMIT.

        The function may be run again after a lost race, so it has no effects but those on ``unit``. If this call is
        cancelled the unit may still be committed.
        """
        job = Job.of(_bound(function, kwargs), args)
        self._backend.write(job)
        return cast("T", await job.future)

    async def migrate(self, function: Callable[[Unit], T]) -> T:
        """``function(unit)`` alone, under the lock that keeps other processes from migrating at the same time."""
        job = Job.of(function, (), exclusive=True)
        self._backend.migrate(job)
        return cast("T", await job.future)

    async def close(self) -> None:
        """Finish the units that wait, then release everything."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._backend.close)

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()


def _nothing(unit: Unit) -> None:
    unit.scalar(_ONE)


def _bound(function: Callable[..., T], kwargs: dict[str, Any]) -> Callable[..., T]:
    if not kwargs:
        return function
    from functools import partial

    return partial(function, **kwargs)


_KINDS: Final = {
    "sqlite": "sqlite",
    "postgresql+psycopg": "postgresql",
    "mysql+pymysql": "mysql",
    "mariadb+pymysql": "mysql",
    "lent+sqlite": "sqlite",
    "lent+postgresql": "postgresql",
    "lent+mysql": "mysql",
}


def parse_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as exc:
        raise ConfigurationError("the database URL cannot be read: write e.g. sqlite:///wallet.db") from exc
    if parsed.drivername in _KINDS:
        return parsed
    raise ConfigurationError(
        f"databases of kind {parsed.drivername!r} are not supported: use sqlite:///path, "
        "postgresql+psycopg://host/name or mysql+pymysql://host/name"
    )


def _backend(
    url: str,
    *,
    schema: str | None,
    read_only: bool,
    create: bool,
    readers: int,
    writers: int,
    timeout: float,
    isolation: str,
) -> Backend:
    parsed = parse_url(url)
    kind = _KINDS[parsed.drivername]
    if parsed.drivername.startswith("lent+"):
        _check_lent(parsed)
    if kind == "sqlite":
        from sdk.service.database.sqlite import SqliteBackend
        from sdk.service.database.sqlite_place import place_of

        if schema is not None:
            raise ConfigurationError("SQLite has no schemas; name another file instead")
        place = place_of(parsed, timeout, read_only=read_only, create=create)
        return SqliteBackend(place, read_only=read_only, readers=readers, timeout=timeout)
    from sdk.service.database.server import ServerBackend

    return ServerBackend(
        kind,
        parsed,
        schema=schema,
        read_only=read_only,
        readers=readers,
        writers=writers,
        timeout=timeout,
        isolation=isolation,
    )


def _check_lent(url: sa.URL) -> None:
    try:
        url.get_dialect()().create_connect_args(url)
    except sa.exc.NoSuchModuleError as error:
        raise ConfigurationError("a lent database needs sdk-module-runtime, which is not installed") from error
    except sa.exc.ArgumentError as error:
        raise ConfigurationError(str(error)) from error
