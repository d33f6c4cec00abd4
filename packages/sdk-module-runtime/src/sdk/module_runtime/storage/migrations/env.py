"""For the ``alembic`` command line; ``sdk db upgrade`` needs no environment."""

from __future__ import annotations

from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.migrations.env import run

run(MIGRATIONS)
