from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sdk.service.database import Database
from sdk.service.migrations import upgrade
from sdk.wallet.storage.migrations import MIGRATIONS
from support.databases import DIALECTS, LENT, empty_database
from support.storage_rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sdk.core.storage import AuthId


@pytest.fixture(params=(*DIALECTS, *LENT[:2]))
def any_address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    """URL and schema of an empty database, on each dialect."""
    with empty_database(request.param, tmp_path) as address:
        yield address


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
