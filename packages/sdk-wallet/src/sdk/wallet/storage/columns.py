"""Column types that mean the same on SQLite, PostgreSQL and MariaDB/MySQL.

``Timestamp`` takes and gives aware UTC datetimes with millisecond precision. SQLite holds them as
``2026-01-02T03:04:05.678Z`` (as the reference toolbox does), so text order is time order.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, DateTime, Integer, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.types import TypeEngine

MYSQL_TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""Binary collation: a base64 reference differs from its lower-cased twin, a label from its accented one."""


def timestamp_text(moment: datetime) -> str:
    """``2026-01-02T03:04:05.678Z``; the wire form and SQLite's."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def timestamp_from_text(text: str) -> datetime:
    """The inverse; also reads SQLite's ``CURRENT_TIMESTAMP`` (no zone means UTC)."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class Timestamp(TypeDecorator[datetime]):
    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(24))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=3))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return timestamp_text(value)
        if dialect.name in ("mysql", "mariadb"):
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
        return timestamp_from_text(value)


Key = BigInteger().with_variant(Integer, "sqlite")
"""Primary and foreign keys; SQLite numbers only INTEGER keys by itself."""

Bytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
