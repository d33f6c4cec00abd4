"""Tables, all prefixed ``monitor_``; they share a database with anybody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table

from sdk.service.database.types import NAMING_CONVENTION, Key, LongText, Timestamp

metadata = MetaData(naming_convention=NAMING_CONVENTION)
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

monitor_tasks: Table[Any] = Table(
    "monitor_tasks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=True),
    Column("lease_until", Timestamp, nullable=True),
    Column("next_run", Timestamp, nullable=False),
    Column("woken", Boolean, nullable=False, default=False),
    Column("last_started", Timestamp, nullable=True),
    Column("last_finished", Timestamp, nullable=True),
    Column("outcome", String(16), nullable=True),
    Column("message", LongText, nullable=True),
    Column("runs", BigInteger, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("processed", BigInteger, nullable=False, default=0),
    Column("state", LongText, nullable=False, default="{}"),
    comment="One row for each task. failures counts those in a row.",
    **_MYSQL,
)

monitor_log: Table[Any] = Table(
    "monitor_log",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("created_at", Timestamp, nullable=False),
    Column("task", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
    Column("processed", BigInteger, nullable=False),
    Column("detail", LongText, nullable=False),
    Index("ix_monitor_log_created_at", "created_at"),
    Index("ix_monitor_log_task", "task", "id"),
    comment="Runs that did something or failed; the others leave no trace.",
    **_MYSQL,
)
