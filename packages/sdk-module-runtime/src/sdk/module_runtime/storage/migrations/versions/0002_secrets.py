"""The secrets of modules, who holds them, and who did what to them.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from sdk.service.database.types import Key, LongBinary, Timestamp

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "runtime_secrets",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="Grows with every change; deleting is one."),
        sa.Column(
            "rotation_id",
            sa.String(length=36),
            nullable=True,
            comment="Of the latest change; none for the first value.",
        ),
        sa.Column("key_id", sa.String(length=16), nullable=True, comment="Which key sealed it; none once deleted."),
        sa.Column("sealed", LongBinary(), nullable=True, comment="Nonce, ciphertext, tag: AES-256-GCM."),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("changed_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_runtime_secrets")),
        comment="Secrets, encrypted.",
        **_MYSQL,
    )
    op.create_index(op.f("ix_runtime_secrets_rotation_id"), "runtime_secrets", ["rotation_id"], unique=False)
    op.create_table(
        "runtime_secret_holders",
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="The newest that was handed to the module."),
        sa.Column("acknowledged", sa.Integer(), nullable=False, comment="The newest that the module says it uses."),
        sa.Column("failure", sa.String(length=500), nullable=True, comment="Why the module could not take the newest."),
        sa.Column("changed_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("module_id", "name", name=op.f("pk_runtime_secret_holders")),
        comment="Which module was given which secret.",
        **_MYSQL,
    )
    op.create_index(op.f("ix_runtime_secret_holders_name"), "runtime_secret_holders", ["name"], unique=False)
    op.create_table(
        "runtime_secret_audit",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("actor", sa.String(length=96), nullable=False, comment="module:NAME or operator:NAME"),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runtime_secret_audit")),
        comment="Who did what to which secret.",
        **_MYSQL,
    )
    op.create_index(op.f("ix_runtime_secret_audit_created_at"), "runtime_secret_audit", ["created_at"], unique=False)
    op.create_index(op.f("ix_runtime_secret_audit_name_id"), "runtime_secret_audit", ["name", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("runtime_secret_audit")
    op.drop_table("runtime_secret_holders")
    op.drop_table("runtime_secrets")
