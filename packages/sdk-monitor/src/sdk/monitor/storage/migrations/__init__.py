"""The monitor's migrations; ``MIGRATIONS`` is found by the entry-point group ``sdk.migrations``."""

from __future__ import annotations

from typing import Final

from sdk.monitor.storage import tables
from sdk.service.migrations import MigrationSet

MIGRATIONS: Final = MigrationSet(component="monitor", package=__name__, metadata=tables.metadata)
