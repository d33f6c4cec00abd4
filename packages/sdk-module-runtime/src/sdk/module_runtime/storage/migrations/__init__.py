"""The runtime's migrations; ``MIGRATIONS`` is found by the entry-point group ``sdk.migrations``."""

from __future__ import annotations

from typing import Final

from sdk.module_runtime.storage import tables
from sdk.service.migrations import MigrationSet

MIGRATIONS: Final = MigrationSet(component="module-runtime", package=__name__, metadata=tables.metadata)
"""Tables, all prefixed ``runtime_``; they share a database with anybody."""
