"""The component's migrations; ``MIGRATIONS`` is found by the entry-point group ``sdk.migrations``."""

from __future__ import annotations

from typing import Final

from sdk.chaintracks.store import tables
from sdk.service.migrations import MigrationSet

MIGRATIONS: Final = MigrationSet(component="chaintracks", package=__name__, metadata=tables.metadata)
