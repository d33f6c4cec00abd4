"""Migrations: one alembic history and one version table for each component, in one database or several."""

from sdk.service.migrations.runner import Status, downgrade, ensure_current, installed, status, upgrade
from sdk.service.migrations.sets import MigrationSet

__all__ = ["MigrationSet", "Status", "downgrade", "ensure_current", "installed", "status", "upgrade"]
