"""What a column's type is on each database, so that every value of it fits (spec 6.2, faults 3 and 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from sdk.module_runtime.models.definitions import (
    CharType,
    CustomType,
    DecimalType,
    EnumType,
    IntegerType,
    TextType,
    VarcharType,
)
from sdk.module_runtime.models.errors import ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.models.definitions import (
        DataType,
    )

_SIGNED: Final = {"8": mysql.TINYINT, "16": sa.SmallInteger, "32": sa.Integer, "64": sa.BigInteger}
_UNSIGNED: Final = {"8": mysql.TINYINT, "16": mysql.SMALLINT, "32": mysql.INTEGER, "64": mysql.BIGINT}
_POSTGRES: Final[dict[str, Callable[[], Any]]] = {
    "I8": sa.SmallInteger, "U8": sa.SmallInteger, "I16": sa.SmallInteger, "U16": sa.Integer, "I32": sa.Integer,
    "U32": sa.BigInteger, "I64": sa.BigInteger, "U64": lambda: sa.Numeric(20, 0),
}  # fmt: skip
_BITS: Final = {"SmallInt": "I16", "BigInt": "I64"}
_MICROSECONDS: Final = 6
_TEXT_64K: Final = 65_535


class Custom(sa.types.UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, text: str) -> None:
        self.text = text

    def get_col_spec(self, **_: Any) -> str:
        return self.text


def integer_size(kind: DataType) -> str | None:
    """``I8`` … ``U64``, or None if it is no integer."""
    if isinstance(kind, IntegerType):
        return kind.Integer
    return _BITS.get(kind) if isinstance(kind, str) else None


def range_of(size: str) -> tuple[int, int]:
    bits = int(size[1:])
    return (0, 2**bits - 1) if size[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def needs_range(dialect: str, size: str) -> bool:
    """Whether the database's own type would let larger values in."""
    if dialect == "mysql":
        return False
    if dialect == "sqlite":
        return size != "I64"
    return size[0] == "U" or size == "I8"


def column_type(kind: DataType, dialect: str, schema: str | None) -> Any:
    """``ModelUnsupported`` where no type of the database holds every value."""
    size = integer_size(kind)
    if size is not None:
        return _integer(size, dialect)
    if isinstance(kind, TextType):
        large = dialect == "mysql" and (kind.Text is None or kind.Text > _TEXT_64K)
        return mysql.LONGTEXT() if large else sa.Text()
    if isinstance(kind, VarcharType):
        return sa.String(kind.Varchar)
    if isinstance(kind, CharType):
        return sa.CHAR(kind.Char)
    if isinstance(kind, DecimalType):
        return sa.Numeric(*kind.Decimal)
    if isinstance(kind, EnumType):
        return _enumeration(kind, dialect, schema)
    if isinstance(kind, CustomType):
        return Custom(kind.Custom)
    return _PLAIN[str(kind)](dialect)


def _integer(size: str, dialect: str) -> Any:
    if dialect == "postgres":
        return _POSTGRES[size]()
    if dialect == "sqlite":
        if size == "U64":
            raise ModelUnsupported("SQLite has no unsigned 64-bit integers; use I64, or a Decimal kept as text")
        return sa.Integer()
    if size[0] == "U":
        return _UNSIGNED[size[1:]](unsigned=True)
    return _SIGNED[size[1:]]()


def _enumeration(kind: EnumType, dialect: str, schema: str | None) -> Any:
    name, values = kind.Enum
    if dialect == "postgres":
        return postgresql.ENUM(*values, name=name, schema=schema, create_type=False)
    if dialect == "mysql":
        return mysql.ENUM(*values)
    return sa.Text()


def _timed(plain: Any, of_mysql: Any) -> Callable[[str], Any]:
    """Microseconds, which MariaDB drops unless it is told."""
    return lambda dialect: of_mysql(fsp=_MICROSECONDS) if dialect == "mysql" else plain()


_PLAIN: Final[dict[str, Callable[[str], Any]]] = {
    "Boolean": lambda _: sa.Boolean(),
    "Float": lambda dialect: mysql.FLOAT() if dialect == "mysql" else sa.REAL(),
    "Double": lambda dialect: mysql.DOUBLE() if dialect == "mysql" else sa.Double(),
    "Date": lambda _: sa.Date(),
    "Time": _timed(sa.Time, mysql.TIME),
    "DateTime": _timed(sa.DateTime, mysql.DATETIME),
    "Timestamp": _timed(sa.TIMESTAMP, mysql.TIMESTAMP),
    "TimestampTz": _timed(lambda: sa.TIMESTAMP(timezone=True), mysql.TIMESTAMP),
    "Blob": lambda dialect: mysql.LONGBLOB() if dialect == "mysql" else sa.LargeBinary(),
    "Json": lambda _: sa.JSON(),
    "JsonB": lambda dialect: postgresql.JSONB() if dialect == "postgres" else sa.JSON(),
    "Uuid": lambda dialect: postgresql.UUID() if dialect == "postgres" else sa.CHAR(36),
}
