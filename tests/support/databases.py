"""An empty database of each kind, gone afterwards; and one to fill once and copy often."""

from __future__ import annotations

import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from support.lent_databases import lent_database
from support.requirements import server_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

DIALECTS = ("sqlite", "postgresql", "mariadb")
LENT = tuple(f"lent {dialect}" for dialect in DIALECTS)
"""The same, which an orchestrator lends to this process as to a module."""


@contextmanager
def empty_database(dialect: str, folder: Path) -> Iterator[tuple[str, str | None]]:
    """URL and schema for ``Database.open``."""
    if dialect in LENT:
        with lent_database(dialect.removeprefix("lent "), folder) as (url, *_):
            yield url, None
        return
    if dialect == "sqlite":
        yield f"sqlite:///{folder}/test.db", None
        return
    url, schema = server_url(dialect), f"test_{uuid.uuid4().hex[:12]}"
    make, drop = {
        "postgresql": (None, f"DROP SCHEMA IF EXISTS {schema} CASCADE"),
        "mariadb": (f"CREATE DATABASE {schema}", f"DROP DATABASE {schema}"),
    }[dialect]
    with _server(url) as connection:
        if make is not None:
            connection.exec_driver_sql(make)
        yield url, schema
        connection.exec_driver_sql(drop)


class Master(Protocol):
    """``url`` of a database to fill; close it before it is copied."""

    @property
    def url(self) -> str: ...

    def copy(self) -> AbstractContextManager[str]:
        """URL of a copy, gone afterwards, whoever may still hold a connection to it."""
        ...


@contextmanager
def master_database(dialect: str, folder: Path) -> Iterator[Master]:
    if dialect == "sqlite":
        yield _SqliteMaster(folder)
        return
    assert dialect == "postgresql", f"no way to copy a database of {dialect}"
    with _server(server_url(dialect)) as connection, _postgresql_database(connection) as url:
        yield _PostgresqlMaster(connection, url)


class _SqliteMaster:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "master").mkdir()

    @property
    def url(self) -> str:
        return f"sqlite:///{self._folder}/master/test.db"

    @contextmanager
    def copy(self) -> Iterator[str]:
        """With its write-ahead log, if there is one."""
        place = self._folder / uuid.uuid4().hex
        shutil.copytree(self._folder / "master", place)
        yield f"sqlite:///{place}/test.db"
        shutil.rmtree(place)


class _PostgresqlMaster:
    def __init__(self, connection: sa.Connection, url: str) -> None:
        self._connection, self.url = connection, url

    @contextmanager
    def copy(self) -> Iterator[str]:
        with _postgresql_database(self._connection, f"TEMPLATE {sa.make_url(self.url).database}") as url:
            yield url


@contextmanager
def _postgresql_database(connection: sa.Connection, options: str = "") -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
    try:
        yield connection.engine.url.set(database=name).render_as_string(hide_password=False)
    finally:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _server(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
