"""For the ``alembic`` command line; ``sdk db upgrade`` needs no environment."""

from __future__ import annotations

from sdk.service.migrations.env import run
from sdk.wallet.storage.migrations import MIGRATIONS

run(MIGRATIONS)
