"""Tables of the orchestrator."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, MetaData, String, Table

from sdk.service.database.types import NAMING_CONVENTION, Key, LongText, Timestamp

metadata = MetaData(naming_convention=NAMING_CONVENTION)
MYSQL: Final[dict[str, Any]] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

runtime_events: Table[Any] = Table(
    "runtime_events",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("created_at", Timestamp, nullable=False),
    Column("module_id", String(64), nullable=True),
    Column("kind", String(48), nullable=False),
    Column("detail", LongText, nullable=False, default="{}"),
    Index(None, "created_at"),
    Index(None, "module_id", "id"),
    comment="What happened to whom, for operators.",
    **MYSQL,
)
