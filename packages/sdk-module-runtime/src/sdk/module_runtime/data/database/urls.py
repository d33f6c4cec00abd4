"""A database's configuration from its URL, and the other way."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from sdk.module_runtime.data.database.config import DatabaseConfig
from sdk.module_runtime.data.database.errors import DatabaseConfigurationError

_KINDS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_DIALECTS: Final = {"sqlite": "sqlite", "postgres": "postgresql", "mysql": "mysql"}
_DRIVERS: Final = {"sqlite": "sqlite", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_IGNORED: Final = frozenset({"charset"})


def config_of(url: str) -> DatabaseConfig:
    """``DatabaseConfigurationError`` for a URL that is none; it never repeats the URL, which may hold a password."""
    try:
        found = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise DatabaseConfigurationError(f"this is no database URL: {type(error).__name__}") from None
    kind = _KINDS.get(found.drivername.partition("+")[0])
    if kind is None or not found.database:
        raise DatabaseConfigurationError("give sqlite:///FILE, postgresql://…/DATABASE or mysql://…/DATABASE")
    ssl_mode = found.query.get("sslmode")
    unknown = set(found.query) - _IGNORED - {"sslmode"}
    if unknown:
        raise DatabaseConfigurationError(f"{', '.join(sorted(unknown))} in the database URL are unknown")
    return DatabaseConfig(
        db_type=kind,  # type: ignore[arg-type]
        host=found.host,
        port=found.port,
        database=found.database,
        username=found.username,
        password=found.password,
        ssl_mode=ssl_mode if isinstance(ssl_mode, str) else None,
    )


def url_of(config: DatabaseConfig, password: str | None) -> str:
    """For SQLAlchemy and ``sdk.service.database``; it holds the password."""
    if config.db_type == "sqlite":
        return f"sqlite:///{config.database}"
    url = sa.URL.create(
        _DRIVERS[config.db_type],
        username=config.username,
        password=password,
        host=config.host or "localhost",
        port=config.port,
        database=config.database,
        query={} if config.ssl_mode is None or config.db_type != "postgres" else {"sslmode": config.ssl_mode},
    )
    return url.render_as_string(hide_password=False)


def lent_url(config: DatabaseConfig, name: str) -> str:
    """What a module opens when its orchestrator lends it the database under ``name``."""
    return f"lent+{_DIALECTS[config.db_type]}://{name}"
