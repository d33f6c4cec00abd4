"""What the orchestrator knows of its modules: their state, processes, ports and endpoints.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from sdk.service.database.types import Key, Timestamp

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "runtime_modules",
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False, comment="Since the orchestrator started."),
        sa.Column("changed_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("module_id", name=op.f("pk_runtime_modules")),
        comment="Each module's state, as it was last.",
        **_MYSQL,
    )
    op.create_table(
        "runtime_instances",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", Timestamp(), nullable=False),
        sa.Column("ready_at", Timestamp(), nullable=True),
        sa.Column("ended_at", Timestamp(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True, comment="Exit code, or minus a signal; none if it was lost."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runtime_instances")),
        comment="The processes of modules.",
        **_MYSQL,
    )
    op.create_index(
        op.f("ix_runtime_instances_module_id_started_at"),
        "runtime_instances",
        ["module_id", "started_at"],
        unique=False,
    )
    op.create_index(op.f("ix_runtime_instances_ended_at"), "runtime_instances", ["ended_at"], unique=False)
    op.create_table(
        "runtime_ports",
        sa.Column("port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("leased_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("port", name=op.f("pk_runtime_ports")),
        comment="Ports that are lent to modules.",
        **_MYSQL,
    )
    op.create_table(
        "runtime_endpoints",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("listen", sa.String(length=255), nullable=False),
        sa.Column("path", sa.String(length=2048), nullable=False),
        sa.Column("methods", sa.String(length=255), nullable=False),
        sa.Column("auth", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runtime_endpoints")),
        comment="What modules have announced, as it was last.",
        **_MYSQL,
    )
    op.create_index(op.f("ix_runtime_endpoints_module_id"), "runtime_endpoints", ["module_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_runtime_endpoints_module_id"), table_name="runtime_endpoints")
    op.drop_table("runtime_endpoints")
    op.drop_table("runtime_ports")
    op.drop_index(op.f("ix_runtime_instances_ended_at"), table_name="runtime_instances")
    op.drop_index(op.f("ix_runtime_instances_module_id_started_at"), table_name="runtime_instances")
    op.drop_table("runtime_instances")
    op.drop_table("runtime_modules")
