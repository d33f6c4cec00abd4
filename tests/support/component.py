"""The tables of an imagined component, for tests of migrations and the processes they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from sdk.service.database import NAMING_CONVENTION, Key, LongBinary, Timestamp

if TYPE_CHECKING:
    from pathlib import Path


def metadata(component: str, *, newer: bool = False) -> sa.MetaData:
    found = sa.MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        f"{component}_items",
        found,
        sa.Column("id", Key, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False, unique=True),
        sa.Column("made_at", Timestamp, nullable=False),
        sa.Column("raw", LongBinary),
        *([sa.Column("label", sa.String(20))] if newer else []),
    )
    return found


def package_name(component: str, folder: Path) -> str:
    """Unlike any other test's: imported packages stay."""
    return f"{component}_{folder.name}_migrations"
