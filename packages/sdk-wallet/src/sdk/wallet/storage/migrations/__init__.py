"""The wallet's migrations; ``MIGRATIONS`` is found by the entry-point group ``sdk.migrations``."""

from __future__ import annotations

from typing import Final

from sdk.service.migrations import MigrationSet
from sdk.wallet.storage import lifecycle_tables, tables

_OWNED: Final = frozenset({*tables.metadata.tables, lifecycle_tables.wallet_request_schedule.name})

MIGRATIONS: Final = MigrationSet(component="wallet", package=__name__, metadata=tables.metadata, tables=_OWNED)
