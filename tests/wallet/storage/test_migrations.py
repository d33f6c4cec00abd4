from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect

from sdk.core.errors import NetworkChainMismatch, NotMigrated
from sdk.service.database import Database
from sdk.service.migrations import downgrade, ensure_current, upgrade
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.provider import StorageProvider
from sdk.wallet.storage.tables import metadata
from sdk.wallet.storage.users import StorageIdentity
from support.storage_rig import ALICE, BOB, STORAGE, Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.service.database import Unit

TOOLBOX = {
    "certificate_fields", "certificates", "commissions", "monitor_events", "output_baskets", "output_tags",
    "output_tags_map", "outputs", "proven_tx_reqs", "proven_txs", "settings", "sync_states", "transactions",
    "tx_labels", "tx_labels_map", "users",
}  # fmt: skip


@pytest.fixture
async def empty(any_address: tuple[str, str | None]) -> AsyncIterator[Database]:
    url, schema = any_address
    async with await Database.open(url, schema=schema) as database:
        yield database


async def test_up_and_down_and_up_again_without_drift(empty: Database) -> None:
    for _ in range(2):
        await upgrade(empty, [MIGRATIONS])
        await ensure_current(empty, MIGRATIONS)
        assert await empty.read(lambda unit: MIGRATIONS.drift(unit.connection)) == []
        await downgrade(empty, MIGRATIONS, "base")
        assert await empty.read(_tables) <= {MIGRATIONS.version_table}


def _tables(unit: Unit) -> set[str]:
    return set(inspect(unit.connection).get_table_names(unit.connection.get_execution_options().get("schema")))


def test_tables_are_the_toolboxs_and_ours_are_told_apart() -> None:
    names = set(metadata.tables)
    assert names >= TOOLBOX
    assert all(name.startswith("wallet_") for name in names - TOOLBOX)
    assert all(len(name) <= 63 for table in metadata.tables.values() for name in (table.name, *table.c.keys()))


async def test_a_database_without_tables_says_what_to_do(empty: Database) -> None:
    rig = Rig(empty)
    with pytest.raises(NotMigrated, match="sdk db upgrade"):
        await rig.provider.make_available()


async def test_settings_are_written_once_and_bind_the_chain(any_database: Database) -> None:
    rig = Rig(any_database)
    first = await rig.provider.make_available()
    assert (first.chain, first.storage_name, first.max_output_script) == ("mock", "test storage", 1024)
    rig.clock.advance(days=1)
    assert await Rig(any_database).provider.make_available() == first
    assert await rig.provider.get_settings() == first
    other = StorageProvider(
        any_database,
        StorageIdentity(STORAGE.identity_key, "other", "main"),
        clock=rig.clock,
        entropy=rig.random.randbytes,
    )
    with pytest.raises(NetworkChainMismatch, match="mock"):
        await other.make_available()


async def test_a_user_comes_with_a_basket_for_change(any_database: Database) -> None:
    rig = Rig(any_database)
    made = await rig.provider.find_or_insert_user(ALICE)
    assert made.is_new
    assert made.user.active_storage == STORAGE.identity_key
    assert made.user.created_at.year == 1971
    again = await rig.provider.find_or_insert_user(ALICE)
    assert not again.is_new
    assert again.user == made.user
    await rig.provider.find_or_insert_user(BOB)
    rows = (await rig.dump())["output_baskets"]
    assert len(rows) == 2
    assert all({"default", 144, 32} <= set(row) for row in rows)
