"""Headers of the active chain and of branches near its tip.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _fixed(size: int) -> Any:
    return sa.LargeBinary(size).with_variant(mysql.BINARY(size), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "chaintracks_headers",
        sa.Column("hash", _fixed(32), nullable=False),
        sa.Column("arrival", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("raw", _fixed(80), nullable=False),
        sa.Column("work", _fixed(32), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_chaintracks_headers")),
        comment="Hashes and headers in wire order; work is that of the chain up to the header, big-endian.",
        **_MYSQL,
    )
    op.create_index(
        op.f("ix_chaintracks_headers_height_active"), "chaintracks_headers", ["height", "active"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_chaintracks_headers_height_active"), table_name="chaintracks_headers")
    op.drop_table("chaintracks_headers")
