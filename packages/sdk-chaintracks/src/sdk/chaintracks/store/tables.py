"""Tables, prefixed ``chaintracks_``; they share a database with anybody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BINARY, BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table
from sqlalchemy import LargeBinary as Binary

from sdk.service.database.types import NAMING_CONVENTION, LongBinary, Timestamp

metadata = MetaData(naming_convention=NAMING_CONVENTION)
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def fixed(size: int) -> Any:
    """``size`` bytes, in a form that every dialect can index."""
    return Binary(size).with_variant(BINARY(size), "mysql", "mariadb")


headers: Table[Any] = Table(
    "chaintracks_headers",
    metadata,
    Column("hash", fixed(32), primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("height", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("raw", fixed(80), nullable=False),
    Column("work", fixed(32), nullable=False),
    Index("ix_chaintracks_headers_height_active", "height", "active"),
    comment="Hashes and headers in wire order; work is that of the chain up to the header, big-endian.",
    **_MYSQL,
)

UNNAMED = "chain"
"""The state's name is its network; this is that of a database filled before it was noted (revision 0002)."""

state: Table[Any] = Table(
    "chaintracks_state",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("tip", fixed(32), nullable=False),
    Column("work", fixed(32), nullable=False),
    Column("event", BigInteger, nullable=False),
    comment="One row: the tip that writers compare and replace, its chain work, and the id of the last event.",
    **_MYSQL,
)

events: Table[Any] = Table(
    "chaintracks_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Timestamp, nullable=False),
    Column("height", Integer, nullable=False),
    Column("first_added", Integer, nullable=False),
    Column("added", LongBinary, nullable=False),
    Column("removed", LongBinary, nullable=False),
    comment="Changes of the tip at height: headers added (oldest first, the last) and removed (tip first, all).",
    **_MYSQL,
)
