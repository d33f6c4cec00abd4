"""The SQLAlchemy engine for a configuration, and what differs between the databases."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from sdk.module_runtime.data.database.bounded import PASSWORD
from sdk.module_runtime.data.database.errors import DatabaseConfigurationError, NotPermitted, QueryError
from sdk.module_runtime.data.database.guard import guard_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.data.database.limits import StatementLimits

MEMORY: Final = ":memory:"
BEGIN: Final = {
    "sqlite": "BEGIN IMMEDIATE",  # a reader that becomes a writer later could lose its turn half-way
    "postgres": "BEGIN",
    "mysql": "START TRANSACTION",
}

_DRIVERS: Final = {"sqlite": "sqlite", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_EXTRAS: Final = {
    "sqlite": frozenset[str](),
    "postgres": frozenset({"application_name", "options"}),
    "mysql": frozenset({"charset", "collation"}),
}
_UNENCRYPTED: Final = frozenset({None, "disable", "disabled", "DISABLED"})
_SMALLEST_VALUE: Final = 1_000_000
"""Bytes. SQLite's own statements need some, whatever a result may have."""
_FORBIDDEN: Final = frozenset({"42501", 1044, 1045, 1142, 1143, 1227, 1290, 1370, 1410})
"""What servers call a lack of rights: PostgreSQL's SQLSTATE, MariaDB's error numbers."""
_SILENCE: Final = 10
"""Seconds that a MariaDB server may say nothing beyond what a statement may take, its greeting included."""
_STRICT: Final = "SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"


def create_engine(
    config: DatabaseConfig,
    limits: StatementLimits | None = None,
    password: Callable[[], str] | None = None,
    *,
    is_pooled: bool = True,
) -> sa.Engine:
    """Statements commit by themselves until a transaction is begun. Opens no connection yet."""
    extras = set(config.extra_params) - _EXTRAS[config.db_type]
    if extras:
        known = ", ".join(sorted(_EXTRAS[config.db_type])) or "none"
        raise DatabaseConfigurationError(
            f"extra_params {', '.join(sorted(extras))} are unknown for {config.db_type}; known: {known}"
        )
    try:
        engine = sa.create_engine(
            _url(config),
            isolation_level="AUTOCOMMIT",
            paramstyle="qmark" if config.db_type == "sqlite" else "format",
            connect_args=_connect_args(config, limits),
            **(_pool(config, limits) if is_pooled else {"poolclass": NullPool}),
        )
    except ModuleNotFoundError as error:
        extra = {"postgres": "postgresql"}.get(config.db_type, config.db_type)
        raise DatabaseConfigurationError(
            f"the driver {error.name} is not installed; run: pip install 'sdk-module-runtime[{extra}]'"
        ) from error
    if config.db_type == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        if limits is not None:
            largest = max(limits.bytes, _SMALLEST_VALUE)
            sa.event.listen(engine, "connect", lambda dbapi, _: guard_sqlite(dbapi, largest))
    elif password is not None:
        sa.event.listen(engine, "do_connect", partial(_with_password, password))
    return engine


def _with_password(password: Callable[[], str], _: Any, record: Any, __: Any, options: dict[str, Any]) -> None:
    """Before each connection. ``cancel`` opens one of its own."""
    record.info[PASSWORD] = password
    options["password"] = password()


def _pool(config: DatabaseConfig, limits: StatementLimits | None) -> dict[str, Any]:
    pool = config.pool
    memory = config.db_type == "sqlite" and config.database == MEMORY
    return {
        "poolclass": QueuePool,
        "pool_size": connections(config),
        "max_overflow": 0,
        "pool_timeout": pool.acquire_timeout_seconds,
        "pool_recycle": -1 if memory else pool.max_lifetime_seconds,
        "pool_pre_ping": config.db_type != "sqlite" and limits is None,
        "pool_use_lifo": True,
    }


def connections(config: DatabaseConfig) -> int:
    """A database in memory lives in its one connection."""
    return 1 if config.db_type == "sqlite" and config.database == MEMORY else config.pool.max_connections


def transaction_is_open(db_type: str, dbapi: Any) -> bool:
    """What the driver knows of its connection; false too for a transaction PostgreSQL has given up."""
    if db_type == "sqlite":
        return bool(dbapi.in_transaction)
    if db_type == "postgres":
        from psycopg.pq import TransactionStatus

        return bool(dbapi.info.transaction_status == TransactionStatus.INTRANS)
    from pymysql.constants import SERVER_STATUS

    return bool(dbapi.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)


def _url(config: DatabaseConfig) -> sa.URL:
    if config.db_type == "sqlite":
        if config.database != MEMORY:
            _make_folder(Path(config.database).parent)
        return sa.URL.create("sqlite", database=config.database)
    return sa.URL.create(
        _DRIVERS[config.db_type],
        username=config.username,
        password=config.password,
        host=config.host or "localhost",
        port=config.port,
        database=config.database,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseConfigurationError(f"the folder {folder} cannot be made: {error.strerror}") from error


def _connect_args(config: DatabaseConfig, limits: StatementLimits | None) -> dict[str, Any]:
    if config.db_type == "sqlite":
        return {"check_same_thread": False, "timeout": 10}
    if config.db_type == "postgres":
        ssl = {} if config.ssl_mode is None else {"sslmode": config.ssl_mode}
        return {"connect_timeout": 10, **ssl, **config.extra_params}
    if config.ssl_mode not in _UNENCRYPTED:  # PyMySQL goes on in plain text where the server offers no TLS
        raise DatabaseConfigurationError(
            f"ssl_mode {config.ssl_mode!r} cannot be held for mysql; use a local socket or tunnel, and ssl_mode disable"
        )
    silence = {} if limits is None else {"read_timeout": limits.seconds + _SILENCE, "write_timeout": _SILENCE}
    return {"connect_timeout": 10, "charset": "utf8mb4", "init_command": _STRICT, **silence, **config.extra_params}


def _prepare_sqlite(dbapi: Any, _: Any) -> None:
    """On each connection, for these settings are not kept in the file (but WAL)."""
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        dbapi.execute(f"PRAGMA {pragma}").close()


def query_error(error: BaseException) -> QueryError:
    """What a driver says of a statement, in our words."""
    first = error.args[0] if error.args else None
    number = first if isinstance(first, int) else getattr(error, "sqlstate", None)  # PyMySQL has both
    text = said(error)
    forbidden = number in _FORBIDDEN or text == "not authorized" or text.startswith("too many attached databases")
    return (NotPermitted if forbidden else QueryError)(text)


def said(error: BaseException) -> str:
    """The first line of what the driver said."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error
    return (str(cause.args[-1]) if cause.args else str(cause)).strip().partition("\n")[0]
