"""Default values: a literal, a known word, or text; never a piece of a statement (spec 6.2, fault 5)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.models.definitions import CharType, Default, EnumType, TextType, VarcharType
from sdk.module_runtime.models.errors import ModelError

if TYPE_CHECKING:
    from sdk.module_runtime.models.definitions import ColumnDescriptor

_NUMBER: Final = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)
_QUOTED: Final = re.compile(r"'((?:[^'\x00]|'')*)'")
_WORDS: Final = frozenset({"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"})
_TRUTH: Final = {"true": True, "false": False}
_LITERAL: Final = re.compile(r"\(*'((?:[^']|'')*)'")
_CAST: Final = re.compile(r"::[A-Za-z_ ]+(\(\d+(,\s*\d+)?\))?(\[\])?|::\"[^\"]+\"(\.\"[^\"]+\")?")


def default_of(column: ColumnDescriptor) -> str | None:
    """As the model says it."""
    for constraint in column.constraints:
        if isinstance(constraint, Default):
            return constraint.DefaultValue
    return column.default_value


def default_sql(column: ColumnDescriptor, dialect: str) -> str | None:
    """An SQL literal or word. ``ModelError`` for anything else."""
    given = default_of(column)
    if given is None or given.upper() == "NULL":  # the default of a column without one, which may forbid NULL
        return None
    if _QUOTED.fullmatch(given):
        return _literal(_text_of(given), dialect)
    if isinstance(column.data_type, (TextType, VarcharType, CharType, EnumType)):
        return _literal(given, dialect)
    if column.data_type == "Boolean" and given.lower() in (*_TRUTH, "0", "1"):
        truth = _TRUTH.get(given.lower(), given == "1")
        return ("true" if truth else "false") if dialect == "postgres" else str(int(truth))
    if _NUMBER.fullmatch(given):
        return given
    if given.upper() in _WORDS:
        timed = given.upper() == "CURRENT_TIMESTAMP" and dialect == "mysql" and column.data_type in _FRACTIONS
        return "CURRENT_TIMESTAMP(6)" if timed else given.upper()
    raise ModelError(
        f"column {column.name!r}: a default is a number, true, false, 'text', NULL or CURRENT_TIMESTAMP, _DATE, _TIME"
    )


def same_default(inspected: str | None, wanted: str | None) -> bool:
    """Whether what a database says of its column is what the model says; databases write it each their own way."""
    if inspected == wanted:
        return True
    return _plain(inspected) == _plain(wanted)


_FRACTIONS: Final = ("Timestamp", "TimestampTz", "DateTime")


def _plain(sql: str | None) -> tuple[str, str] | None:
    """Kind and value. Text stays what it is; numbers, truth and words lose what databases add to them."""
    if sql is None or sql.upper() == "NULL":
        return None
    literal = _LITERAL.match(sql)
    if literal is not None:
        return _bare("text", literal[1].replace("''", "'").replace("\\\\", "\\"))
    return _bare("word", _CAST.sub("", sql).strip("()"))


def _bare(kind: str, text: str) -> tuple[str, str]:
    lowered = text.lower()
    if kind == "word" and lowered in _TRUTH:
        return "number", str(int(_TRUTH[lowered]))
    if _NUMBER.fullmatch(text):
        number = Decimal(text)
        return "number", str(number.normalize())
    return kind, text if kind == "text" else lowered.removesuffix("(6").removesuffix("(")


def _literal(text: str, dialect: str) -> str:
    if "\x00" in text:
        raise ModelError("a default holds no NUL character")
    escaped = text.replace("'", "''")
    return f"'{escaped.replace(chr(92), chr(92) * 2)}'" if dialect == "mysql" else f"'{escaped}'"


def _text_of(quoted: str) -> str:
    return quoted[1:-1].replace("''", "'")
