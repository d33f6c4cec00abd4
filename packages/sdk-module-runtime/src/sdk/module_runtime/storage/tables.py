"""Tables of the orchestrator."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Integer, MetaData, String, Table

from sdk.service.database.types import NAMING_CONVENTION, Key, LongBinary, LongText, Timestamp

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

runtime_secrets: Table[Any] = Table(
    "runtime_secrets",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("version", Integer, nullable=False, comment="Grows with every change; deleting is one."),
    Column("rotation_id", String(36), nullable=True, comment="Of the latest change; none for the first value."),
    Column("key_id", String(16), nullable=True, comment="Which key sealed it; none once deleted."),
    Column("sealed", LongBinary, nullable=True, comment="Nonce, ciphertext, tag: AES-256-GCM."),
    Column("created_at", Timestamp, nullable=False),
    Column("changed_at", Timestamp, nullable=False),
    Index(None, "rotation_id"),
    comment="Secrets, encrypted.",
    **MYSQL,
)

runtime_secret_holders: Table[Any] = Table(
    "runtime_secret_holders",
    metadata,
    Column("module_id", String(64), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("version", Integer, nullable=False, comment="The newest that was handed to the module."),
    Column("acknowledged", Integer, nullable=False, comment="The newest that the module says it uses."),
    Column("failure", String(500), nullable=True, comment="Why the module could not take the newest."),
    Column("changed_at", Timestamp, nullable=False),
    Index(None, "name"),
    comment="Which module was given which secret.",
    **MYSQL,
)

runtime_secret_audit: Table[Any] = Table(
    "runtime_secret_audit",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("created_at", Timestamp, nullable=False),
    Column("actor", String(96), nullable=False, comment="module:NAME or operator:NAME"),
    Column("operation", String(16), nullable=False),
    Column("name", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", String(500), nullable=False),
    Index(None, "created_at"),
    Index(None, "name", "id"),
    comment="Who did what to which secret.",
    **MYSQL,
)

runtime_modules: Table[Any] = Table(
    "runtime_modules",
    metadata,
    Column("module_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("restarts", Integer, nullable=False, comment="Since the orchestrator started."),
    Column("changed_at", Timestamp, nullable=False),
    comment="Each module's state, as it was last.",
    **MYSQL,
)

runtime_instances: Table[Any] = Table(
    "runtime_instances",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("module_id", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("ready_at", Timestamp, nullable=True),
    Column("ended_at", Timestamp, nullable=True),
    Column("status", Integer, nullable=True, comment="Exit code, or minus a signal; none if it was lost."),
    Index(None, "module_id", "started_at"),
    Index(None, "ended_at"),
    comment="The processes of modules.",
    **MYSQL,
)

runtime_ports: Table[Any] = Table(
    "runtime_ports",
    metadata,
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("module_id", String(64), nullable=False),
    Column("leased_at", Timestamp, nullable=False),
    comment="Ports that are lent to modules.",
    **MYSQL,
)

runtime_endpoints: Table[Any] = Table(
    "runtime_endpoints",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("module_id", String(64), nullable=False),
    Column("listen", String(255), nullable=False),
    Column("path", String(2048), nullable=False),
    Column("methods", String(255), nullable=False),
    Column("auth", String(255), nullable=True),
    Index(None, "module_id"),
    comment="What modules have announced, as it was last.",
    **MYSQL,
)
