"""The body of a component's ``env.py``, for those who use the ``alembic`` command line or pytest-alembic.

``upgrade`` does not need one. ``run`` accepts a connection (whose owner commits), an engine, or ``sqlalchemy.url``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, pool

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from sdk.service.migrations.sets import MigrationSet


def run(migrations: MigrationSet) -> None:
    config = context.config
    url = config.get_main_option("sqlalchemy.url")
    if context.is_offline_mode():
        _run(migrations, url=url, literal_binds=True)
        return
    given = config.attributes.get("connection")
    if isinstance(given, Connection):
        _run(migrations, connection=given)
        return
    if isinstance(given, Engine):
        engine = given
    elif url:
        engine = create_engine(url, poolclass=pool.NullPool)
    else:
        raise ConfigurationError("alembic was given neither a connection nor sqlalchemy.url")
    with engine.begin() as connection:
        _run(migrations, connection=connection)


def _run(migrations: MigrationSet, **how: Any) -> None:
    context.configure(**how, **migrations.options())
    with context.begin_transaction():
        context.run_migrations()
