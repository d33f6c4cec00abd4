"""The log of what happened.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from sdk.service.database.types import Key, LongText, Timestamp

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "runtime_events",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("module_id", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("detail", LongText, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runtime_events")),
        comment="What happened to whom, for operators.",
        **_MYSQL,
    )
    op.create_index(op.f("ix_runtime_events_created_at"), "runtime_events", ["created_at"], unique=False)
    op.create_index(op.f("ix_runtime_events_module_id_id"), "runtime_events", ["module_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_runtime_events_module_id_id"), table_name="runtime_events")
    op.drop_index(op.f("ix_runtime_events_created_at"), table_name="runtime_events")
    op.drop_table("runtime_events")
