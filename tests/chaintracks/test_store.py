"""The tables and their units, on every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import sql_store
from sdk.service.database import Database
from sdk.service.migrations import downgrade, installed, status, upgrade
from support.databases import DIALECTS, LENT, empty_database
from support.header_rig import GENESIS, grown, raw

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("dialect", [*DIALECTS, *LENT])
async def test_migrations_and_the_chain_work_on(dialect: str, tmp_path: Path) -> None:
    with empty_database(dialect, tmp_path) as (url, schema):
        async with await Database.open(url, schema=schema) as database:
            await upgrade(database, [MIGRATIONS])
            assert await database.read(lambda unit: MIGRATIONS.drift(unit.connection)) == []
            first = grown([GENESIS], 40)
            second = grown(first[:20], 30, salt="x")
            chain = await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW, keep=10)
            await chain.extend(raw(first[1:]))
            await chain.extend(raw(second[20:]))
            again = await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW, keep=10)
            for each in (chain, again):
                assert await each.headers(0, 100) == raw(second)
                assert await each.find(bytes.fromhex(first[30].hash())[::-1]) == (30, first[30].to_bytes())
            await downgrade(database, MIGRATIONS, "base")
            (found,) = await status(database, [MIGRATIONS])
            assert found.current is None


def test_the_migrations_are_found_by_their_entry_point() -> None:
    assert [each for each in installed() if each.component == "chaintracks"] == [MIGRATIONS]
