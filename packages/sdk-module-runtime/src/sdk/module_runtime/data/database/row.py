"""One row, and what its columns may be read as (spec 3.1)."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from sdk.module_runtime.data.database.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
I64: Final = range(-(2**63), 2**63)


class Row:
    """``get_*`` raises ``QueryError`` for a column that is missing, NULL or of another type.

    ``try_get_*`` answers None where it is missing or NULL, and raises only for another type. ``values`` holds None,
    bool, int, float, str, bytes and lists of these; decimals, times, UUIDs and JSON are text, to lose nothing.
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"Row({dict(self.values)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and dict(self.values) == dict(other.values)

    __hash__ = None  # type: ignore[assignment]

    def get_string(self, column: str) -> str:
        return self._required(column, _string, "a string")

    def try_get_string(self, column: str) -> str | None:
        return self._optional(column, _string, "a string")

    def get_i64(self, column: str) -> int:
        return self._required(column, _i64, "an integer")

    def try_get_i64(self, column: str) -> int | None:
        return self._optional(column, _i64, "an integer")

    def get_f64(self, column: str) -> float:
        """Integers are numbers too."""
        return self._required(column, _f64, "a number")

    def try_get_f64(self, column: str) -> float | None:
        return self._optional(column, _f64, "a number")

    def get_bool(self, column: str) -> bool:
        """SQLite and MariaDB have no booleans, so exactly 0 and 1 serve as well."""
        return self._required(column, _bool, "a boolean")

    def try_get_bool(self, column: str) -> bool | None:
        return self._optional(column, _bool, "a boolean")

    def get_bytes(self, column: str) -> bytes:
        return self._required(column, _bytes, "bytes")

    def try_get_bytes(self, column: str) -> bytes | None:
        return self._optional(column, _bytes, "bytes")

    def _required(self, column: str, read: Callable[[Any], T | None], wanted: str) -> T:
        if column not in self.values:
            raise QueryError(f"Column '{column}' not found")
        found = self._optional(column, read, wanted)
        if found is None:
            raise QueryError(f"Column '{column}' is not {wanted}: it is NULL")
        return found

    def _optional(self, column: str, read: Callable[[Any], T | None], wanted: str) -> T | None:
        value = self.values.get(column)
        if value is None:
            return None
        found = read(value)
        if found is None:
            raise QueryError(f"Column '{column}' is not {wanted}")
        return found


class ForeignRow(Row):
    """A row as an orchestrator that is not ours sends it: bytes are base64 text or lists of numbers."""

    __slots__ = ()

    def get_bytes(self, column: str) -> bytes:
        return self._required(column, _wire_bytes, "bytes")

    def try_get_bytes(self, column: str) -> bytes | None:
        return self._optional(column, _wire_bytes, "bytes")


def rows_of(columns: Sequence[str], tuples: Sequence[Sequence[Any]]) -> list[Row]:
    """Rows of what a driver fetched."""
    if len(set(columns)) != len(columns):
        twice = sorted({column for column in columns if columns.count(column) > 1})
        raise QueryError(f"the result has several columns named {', '.join(twice)}; name them apart with AS")
    return [Row(dict(zip(columns, map(_plain, found), strict=True))) for found in tuples]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID, timedelta)):
        return str(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    raise QueryError(f"a column of type {type(value).__name__} cannot be read; cast it to text in the query")


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _i64(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value in I64 else None


def _f64(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return bool(value) if isinstance(value, int) and value in (0, 1) else None


def _bytes(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _wire_bytes(value: Any) -> bytes | None:
    try:
        if isinstance(value, str):
            return b64decode(value, validate=True)
        return bytes(value) if isinstance(value, list) else None
    except (ValueError, TypeError):
        return None
