"""A statement with ``?`` placeholders, written as a driver wants it, and its parameters, checked."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.database.errors import QueryError
from sdk.module_runtime.data.database.row import I64

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUOTED: Final = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/"""
_BACKSLASHED: Final = r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*\""""
_MAY_WRITE: Final = re.compile(r"\b(returning|insert|update|delete|merge|replace)\b", re.IGNORECASE)
_READS: Final = re.compile(r"\s*(?:select|values|show|explain|pragma|table)\b", re.IGNORECASE)
_SCANNERS: Final = {
    "sqlite": re.compile(rf"(?P<quoted>{_QUOTED}|\[[^\]]*\])|(?P<mark>\?)", re.DOTALL),
    "mysql": re.compile(rf"(?P<quoted>{_BACKSLASHED}|#[^\n]*|{_QUOTED})|(?P<mark>\?)", re.DOTALL),
    "postgres": re.compile(
        rf"(?P<quoted>\b[eE]'(?:[^'\\]|\\.|'')*'|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)|{_QUOTED})"
        r"|(?P<mark>\?)|(?<!\w)\$(?P<number>\d+)",
        re.DOTALL,
    ),
}


def prepare(db_type: str, query: str, params: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """``(sql, parameters)`` for the driver's cursor.

    ``?`` stands for the next parameter on every database. PostgreSQL also takes its own ``$1``, ``$2``; a query that
    uses those may use ``?`` as an operator. Quotes and comments are left alone. ``QueryError`` if the number of
    parameters does not fit, or one has no SQL form.
    """
    values = checked(db_type, params)
    sql, order, wanted = _translate(db_type, query)
    if wanted != len(values):
        raise QueryError(f"the query has {wanted} placeholders but {len(values)} parameters were given")
    return sql, tuple(values[index] for index in order)


def checked(db_type: str, params: Sequence[Any]) -> list[Any]:
    """``QueryError`` for a parameter without an SQL form."""
    return [_checked(db_type, index, value) for index, value in enumerate(params, 1)]


def placeholders(db_type: str, query: str) -> int:
    """How many parameters a query takes."""
    return _translate(db_type, query)[2]


def writes(query: str) -> bool:
    """Whether a statement has words of one that changes rows."""
    return _MAY_WRITE.search(query) is not None


def only_reads(query: str) -> bool:
    """Whether a statement can be given again without harm, whatever became of it the first time."""
    return _READS.match(query) is not None and not writes(query)


@lru_cache(maxsize=512)
def _translate(db_type: str, query: str) -> tuple[str, tuple[int, ...], int]:
    """The driver's SQL, which parameter each of its placeholders takes, and how many parameters there are."""
    scanner, native = _SCANNERS[db_type], db_type == "sqlite"
    numbered = any(found["number"] for found in scanner.finditer(query)) if db_type == "postgres" else False
    order: list[int] = []
    pieces: list[str] = []
    end = 0
    for found in scanner.finditer(query):
        number = found["number"] if numbered else None
        if number is None and (found["mark"] is None or numbered):
            continue
        order.append(int(number) - 1 if number is not None else len(order))
        pieces += (_literal(query[end : found.start()], native), "?" if native else "%s")
        end = found.end()
    pieces.append(_literal(query[end:], native))
    used = set(order)
    if used != set(range(len(used))):
        raise QueryError("the placeholders $1, $2, … must be numbered without gaps")
    return "".join(pieces), tuple(order), len(used)


def _literal(text: str, native: bool) -> str:
    return text if native else text.replace("%", "%%")


def _checked(db_type: str, index: int, value: Any) -> Any:
    if isinstance(value, list):
        if db_type != "postgres":
            raise QueryError(f"parameter {index} is an array, which only PostgreSQL takes")
        if any(isinstance(item, list) for item in value):
            raise QueryError(f"parameter {index} is an array of arrays; arrays are one level deep")
        return [_checked(db_type, index, item) for item in value]
    if value is None or isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, int):
        if value not in I64:
            raise QueryError(f"parameter {index} does not fit into 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise QueryError(f"parameter {index} is {value}, which SQL cannot hold")
        return value
    raise QueryError(
        f"parameter {index} is a {type(value).__name__}; pass None, bool, int, float, str, bytes or a list of these"
    )
