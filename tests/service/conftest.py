from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import sqlalchemy as sa

from sdk.service.database import Database
from support import things
from support.requirements import server_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/things.db"


@pytest.fixture
def postgresql() -> Iterator[tuple[str, str]]:
    """URL and a schema of its own."""
    url, schema = server_url("postgresql"), f"test_{uuid.uuid4().hex[:12]}"
    yield url, schema
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    engine.dispose()


@pytest.fixture
def mariadb() -> Iterator[tuple[str, str]]:
    """URL and a database of its own."""
    url, schema = server_url("mariadb"), f"test_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    yield url, schema
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {schema}")
    engine.dispose()


@pytest.fixture(params=["sqlite", "memory", "postgresql", "mariadb"])
def address(request: pytest.FixtureRequest) -> tuple[str, str | None]:
    """URL and schema of an empty database, on each dialect."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url"), None
    if request.param == "memory":
        return "sqlite://", None
    found: tuple[str, str] = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def database(address: tuple[str, str | None]) -> AsyncIterator[Database]:
    """The tables of ``things``, empty, on each dialect."""
    url, schema = address
    async with await Database.open(url, schema=schema, timeout=10) as database:
        await database.migrate(things.create)
        yield database


@pytest_asyncio.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    async with await Database.open(sqlite_url) as database:
        await database.migrate(things.create)
        yield database
