"""A log of tip changes, and the tip that writers compare and replace.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from sdk.service.database.types import LongBinary, Timestamp

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _fixed(size: int) -> Any:
    return sa.LargeBinary(size).with_variant(mysql.BINARY(size), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "chaintracks_state",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("tip", _fixed(32), nullable=False),
        sa.Column("work", _fixed(32), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chaintracks_state")),
        comment="One row: the tip that writers compare and replace, its chain work, and the id of the last event.",
        **_MYSQL,
    )
    op.create_table(
        "chaintracks_events",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", Timestamp(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("first_added", sa.Integer(), nullable=False),
        sa.Column("added", LongBinary(), nullable=False),
        sa.Column("removed", LongBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chaintracks_events")),
        comment="Changes of the tip at height: headers added (oldest first, the last) and removed (tip first, all).",
        **_MYSQL,
    )
    headers = sa.table(
        "chaintracks_headers",
        *(sa.column(name) for name in ("hash", "height", "work")),
        sa.column("active", sa.Boolean()),
    )
    tip = (
        sa.select(sa.literal("chain"), headers.c.hash, headers.c.work, sa.literal(0))
        .where(headers.c.active.is_(True))
        .order_by(headers.c.height.desc())
        .limit(1)
    )
    state = sa.table("chaintracks_state", *(sa.column(name) for name in ("name", "tip", "work", "event")))
    op.execute(sa.insert(state).from_select(["name", "tip", "work", "event"], tip))


def downgrade() -> None:
    op.drop_table("chaintracks_events")
    op.drop_table("chaintracks_state")
