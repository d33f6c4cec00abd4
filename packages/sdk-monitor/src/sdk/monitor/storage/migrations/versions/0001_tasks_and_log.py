"""Tasks with their leases, and the log of their runs.

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
        "monitor_tasks",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", Timestamp(), nullable=True),
        sa.Column("next_run", Timestamp(), nullable=False),
        sa.Column("woken", sa.Boolean(), nullable=False),
        sa.Column("last_started", Timestamp(), nullable=True),
        sa.Column("last_finished", Timestamp(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("message", LongText, nullable=True),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("processed", sa.BigInteger(), nullable=False),
        sa.Column("state", LongText, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_monitor_tasks")),
        comment="One row for each task. failures counts those in a row.",
        **_MYSQL,
    )
    op.create_table(
        "monitor_log",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("processed", sa.BigInteger(), nullable=False),
        sa.Column("detail", LongText, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_log")),
        comment="Runs that did something or failed; the others leave no trace.",
        **_MYSQL,
    )
    op.create_index(op.f("ix_monitor_log_created_at"), "monitor_log", ["created_at"], unique=False)
    op.create_index(op.f("ix_monitor_log_task"), "monitor_log", ["task", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_monitor_log_task"), table_name="monitor_log")
    op.drop_index(op.f("ix_monitor_log_created_at"), table_name="monitor_log")
    op.drop_table("monitor_log")
    op.drop_table("monitor_tasks")
