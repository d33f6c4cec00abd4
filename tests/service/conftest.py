from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sdk.service.database import Database
from support import things
from support.databases import LENT, empty_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/things.db"


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    """URL and a schema of its own."""
    with empty_database("postgresql", tmp_path) as address:
        yield address


@pytest.fixture
def mariadb(tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    """URL and a database of its own."""
    with empty_database("mariadb", tmp_path) as address:
        yield address


@pytest.fixture(params=["sqlite", "memory", "postgresql", "mariadb", *LENT])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    """URL and schema of an empty database, on each dialect, and lent by an orchestrator."""
    if request.param == "memory":
        yield "sqlite://", None
        return
    with empty_database(request.param, tmp_path) as found:
        yield found


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
