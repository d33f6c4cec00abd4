"""The database that the settings name, for programs that work on a wallet's rows and do not make its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.service.database import Database
from sdk.service.migrations import ensure_current
from sdk.wallet.storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    from sdk.wallet.settings import WalletSettings


async def open_current(settings: WalletSettings) -> Database:
    """Raises ``StorageUnavailable``, ``NotMigrated`` or ``SchemaTooNew``; nothing is left open then."""
    database = await Database.open(
        settings.database, schema=settings.database_schema, create=False, timeout=settings.database_timeout
    )
    try:
        await ensure_current(database, MIGRATIONS)
    except BaseException:
        await database.close()
        raise
    return database
