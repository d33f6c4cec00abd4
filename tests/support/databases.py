"""An empty database of each kind, gone afterwards."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from support.requirements import server_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIALECTS = ("sqlite", "postgresql", "mariadb")


@contextmanager
def empty_database(dialect: str, folder: Path) -> Iterator[tuple[str, str | None]]:
    """URL and schema for ``Database.open``."""
    if dialect == "sqlite":
        yield f"sqlite:///{folder}/test.db", None
        return
    url, schema = server_url(dialect), f"test_{uuid.uuid4().hex[:12]}"
    make, drop = {
        "postgresql": (None, f"DROP SCHEMA IF EXISTS {schema} CASCADE"),
        "mariadb": (f"CREATE DATABASE {schema}", f"DROP DATABASE {schema}"),
    }[dialect]
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if make is not None:
                connection.exec_driver_sql(make)
        yield url, schema
        with engine.connect() as connection:
            connection.exec_driver_sql(drop)
    finally:
        engine.dispose()
