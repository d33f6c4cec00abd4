from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import sqlalchemy as sa

from sdk.service.database import Database
from sdk.service.migrations import upgrade
from sdk.wallet.storage.migrations import MIGRATIONS
from support.requirements import server_url
from support.storage_rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sdk.core.storage import AuthId

DIALECTS = ["sqlite", "postgresql", "mariadb"]


def _address(dialect: str, tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path}/wallet.db", None
        return
    url, schema = server_url(dialect), f"test_{uuid.uuid4().hex[:12]}"
    make, drop = {
        "postgresql": (None, f"DROP SCHEMA IF EXISTS {schema} CASCADE"),
        "mariadb": (f"CREATE DATABASE {schema}", f"DROP DATABASE {schema}"),
    }[dialect]
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if make is not None:
            connection.exec_driver_sql(make)
        yield url, schema
        connection.exec_driver_sql(drop)
    engine.dispose()


@pytest.fixture(params=DIALECTS)
def any_address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    """URL and schema of an empty database, on each dialect."""
    yield from _address(request.param, tmp_path)


@pytest_asyncio.fixture
async def any_database(any_address: tuple[str, str | None]) -> AsyncIterator[Database]:
    url, schema = any_address
    async with await Database.open(url, schema=schema) as database:
        await upgrade(database, [MIGRATIONS])
        yield database


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with await Database.open(f"sqlite:///{tmp_path}/wallet.db") as opened:
        await upgrade(opened, [MIGRATIONS])
        yield opened


@pytest_asyncio.fixture
async def rig(database: Database) -> Rig:
    return Rig(database)


@pytest_asyncio.fixture
async def everywhere(any_database: Database) -> Rig:
    """The rig on SQLite, PostgreSQL and MariaDB."""
    return Rig(any_database)


@pytest_asyncio.fixture
async def alice(rig: Rig) -> AuthId:
    return await rig.user()
