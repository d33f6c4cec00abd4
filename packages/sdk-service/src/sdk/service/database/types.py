"""Column types and metadata conventions every component shares."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from sdk.service.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

NAMING_CONVENTION: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""For ``MetaData(naming_convention=...)``: migrations can only drop a constraint that has a name."""

Key: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit primary or foreign key. SQLite gives row ids only to INTEGER."""


class LongBinary(TypeDecorator[bytes]):
    """Bytes of any length; MySQL's BLOB ends at 64 KiB."""

    impl = sa.LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects.mysql import LONGBLOB

            return dialect.type_descriptor(LONGBLOB())
        return dialect.type_descriptor(sa.LargeBinary())


class LongText(TypeDecorator[str]):
    """Text of any length; MySQL's TEXT ends at 64 KiB."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects.mysql import LONGTEXT

            return dialect.type_descriptor(LONGTEXT())
        return dialect.type_descriptor(sa.Text())


class Timestamp(TypeDecorator[datetime]):
    """An aware UTC datetime of millisecond precision; finer digits are cut off.

    SQLite keeps ISO text, ``2025-01-31T12:00:00.000Z``, as the TypeScript toolbox writes it (and its text order is
    time order); PostgreSQL ``timestamptz(3)``; MySQL and MariaDB ``datetime(3)`` in UTC, which neither ends in 2038
    nor updates itself. Naive values are refused with ``InvalidValue``.
    """

    impl = sa.DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.String(24))
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import TIMESTAMP

            return dialect.type_descriptor(TIMESTAMP(timezone=True, precision=3))
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects.mysql import DATETIME

            return dialect.type_descriptor(DATETIME(fsp=3))
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    # Both processors are one call for each value, where TypeDecorator makes three.

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        return {"sqlite": _bound_text, "postgresql": _bound_moment}.get(dialect.name, _bound_naive)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return self.bind_processor(dialect)(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return _text_or_none if dialect.name == "sqlite" else _moment_or_none

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return self.result_processor(dialect, None)(value)


def _bound_text(value: datetime | None) -> str | None:
    return None if value is None else to_text(_aware(value))


def _bound_moment(value: datetime | None) -> datetime | None:
    return None if value is None else to_milliseconds(_aware(value))


def _bound_naive(value: datetime | None) -> datetime | None:
    return None if value is None else to_milliseconds(_aware(value)).replace(tzinfo=None)


def _aware(value: datetime) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidValue(f"a timestamp must be an aware datetime, not {value!r}")
    return value


def _text_or_none(value: str | None) -> datetime | None:
    return None if value is None else from_text(value)


def _moment_or_none(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def to_milliseconds(moment: datetime) -> datetime:
    """``moment`` in UTC as a database gives it back."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@lru_cache(maxsize=256)
def to_text(moment: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SS.mmmZ``. A unit writes one moment into many columns."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def from_text(text: str) -> datetime:
    """The inverse; also reads ``CURRENT_TIMESTAMP`` (UTC without a zone), as SQLite's defaults write it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidValue(f"the database holds {text!r} where a timestamp should be") from exc
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
