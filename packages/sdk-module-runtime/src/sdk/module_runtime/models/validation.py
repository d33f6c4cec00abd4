"""What is wrong with a model, whatever the database; verdicts and words as the reference's (spec 6.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.models.definitions import (
    Check,
    CustomType,
    DecimalType,
    Default,
    EnumType,
    ForeignKey,
    IntegerType,
    PrimaryKey,
    Unique,
)
from sdk.module_runtime.models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.module_runtime.models.definitions import (
        ColumnDescriptor,
        ModelDescriptor,
    )

LONGEST_NAME: Final = 63
"""Bytes; PostgreSQL cuts longer ones without a word."""
_CUSTOM: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]{0,62}(\(\s*\d{1,9}(\s*,\s*\d{1,9})*\s*\))?(\[\])?", re.ASCII)
_PIECE: Final = re.compile(r"'(?:[^'\\]|'')*'|\"(?:[^\"]|\"\")*\"|--|/\*|[;'\"`#\\$\x00]|[()]")


def validate_models(models: Sequence[ModelDescriptor]) -> None:
    """``ModelError`` for the first fault, also between tables."""
    seen = set()
    for model in models:
        validate_model(model)
        if (place := (model.schema_, model.name.lower())) in seen:
            raise ModelError(f"Duplicate table name: {model.name}")
        seen.add(place)


def validate_model(model: ModelDescriptor) -> None:
    """``ModelError``; the reference's own verdicts come first."""
    if not model.name:
        raise ModelError("Table name cannot be empty")
    if not model.columns:
        raise ModelError("Model must have at least one column")
    columns: dict[str, ColumnDescriptor] = {}
    for column in model.columns:
        if not column.name:
            raise ModelError("Column name cannot be empty")
        if column.name.lower() in columns:
            raise ModelError(f"Duplicate column name: {column.name}")
        columns[column.name.lower()] = column
    _check_keys(model)
    _check_auto_increment(model)
    names = {column.name for column in model.columns}
    for index in model.indexes:
        _check_columns("Index", index.columns, names)
        if index.condition is not None:
            check_expression(index.condition)
    for constraint in model.constraints:
        if isinstance(constraint, ForeignKey):
            members = constraint.ForeignKey
            if len(members.columns) != len(members.references_columns):
                raise ModelError("Foreign key must have the same number of columns as referenced columns")
            _check_columns("Foreign key", members.columns, names)
        elif isinstance(constraint, Unique):
            _check_columns("Unique", constraint.Unique.columns, names)
        elif isinstance(constraint, (str, Default)):
            raise ModelError("NotNull, AutoIncrement and DefaultValue belong to a column, not to the table")
    for constraint in (*model.constraints, *(each for column in model.columns for each in column.constraints)):
        if isinstance(constraint, Check):
            check_expression(constraint.Check.expression)
    for name in all_names(model):
        check_name(name)
    for column in model.columns:
        _check_type(column)


def check_name(name: str) -> None:
    if not name or len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME or not name.isprintable():
        raise ModelError(f"a name has 1 to {LONGEST_NAME} bytes and no control characters, unlike {name[:80]!r}")


def check_expression(expression: str) -> None:
    """Whatever it says, it is one expression: it ends no statement, opens no comment, leaves no quote or bracket."""
    depth = 0
    for piece in _PIECE.findall(expression):
        if piece in ("(", ")"):
            depth += 1 if piece == "(" else -1
        elif not (len(piece) > 1 and piece[0] in "'\""):
            raise ModelError(f"an expression must not hold {piece!r} outside quotes")
        if depth < 0:
            break
    if depth != 0 or not expression.strip():
        raise ModelError("an expression is not empty, and closes each bracket it opens")


def primary_key(model: ModelDescriptor) -> list[str]:
    """The columns of the primary key, wherever the model says so."""
    for constraint in model.constraints:
        if isinstance(constraint, PrimaryKey):
            return list(constraint.PrimaryKey.columns)
    if model.primary_key:
        return list(model.primary_key)
    return [column.name for column in model.columns if is_key(column)]


def is_key(column: ColumnDescriptor) -> bool:
    return column.is_primary_key or any(isinstance(each, PrimaryKey) for each in column.constraints)


def is_auto_increment(column: ColumnDescriptor) -> bool:
    return column.auto_increment or "AutoIncrement" in column.constraints


def _check_keys(model: ModelDescriptor) -> None:
    flagged = any(is_key(column) for column in model.columns)
    tables = [each.PrimaryKey.columns for each in model.constraints if isinstance(each, PrimaryKey)]
    if model.primary_key is not None:
        tables.append(model.primary_key)
    if tables and flagged:
        raise ModelError("Cannot specify both table-level primary key and column-level primary key flags")
    if len(tables) > 1:
        raise ModelError("a table has one primary key")
    names = {column.name for column in model.columns}
    for columns in tables:
        _check_columns("Primary key", columns, names)


def _check_auto_increment(model: ModelDescriptor) -> None:
    counted = [column for column in model.columns if is_auto_increment(column)]
    if len(counted) > 1:
        raise ModelError("Only one column can have auto_increment enabled")
    for column in counted:
        if column.name not in primary_key(model):
            raise ModelError("Auto-increment column must be part of the primary key")
        if not (isinstance(column.data_type, IntegerType) or column.data_type in ("SmallInt", "BigInt")):
            raise ModelError("Auto-increment column must be an integer")


def _check_columns(what: str, columns: Sequence[str], known: set[str]) -> None:
    if not columns or len(set(columns)) != len(columns):
        raise ModelError(f"{what} names at least one column, and each once")
    for column in columns:
        if column not in known:
            raise ModelError(f"{what} column '{column}' does not exist in table")


def _check_type(column: ColumnDescriptor) -> None:
    kind = column.data_type
    if (isinstance(kind, DecimalType) and not 0 <= kind.Decimal[1] <= kind.Decimal[0] <= 65) or (
        isinstance(kind, DecimalType) and (kind.Decimal[0] < 1 or kind.Decimal[1] > 30)
    ):
        raise ModelError(f"column {column.name!r}: a decimal has 1 to 65 digits, at most 30 of them after the point")
    if isinstance(kind, EnumType):
        name, values = kind.Enum
        check_name(name)
        if not values or len(set(values)) != len(values):
            raise ModelError(f"column {column.name!r}: an enumeration has values, and each once")
        for value in values:
            check_name(value)
    if isinstance(kind, CustomType) and not _CUSTOM.fullmatch(kind.Custom):
        raise ModelError(f"column {column.name!r}: a custom type is a name, perhaps with numbers in brackets")


def all_names(model: ModelDescriptor) -> Iterable[str]:
    """Every name in the model, those of other tables included."""
    yield model.name
    if model.schema_ is not None:
        yield model.schema_
    for column in model.columns:
        yield column.name
    yield from (index.name for index in model.indexes if index.name is not None)
    for constraint in (*model.constraints, *(each for column in model.columns for each in column.constraints)):
        for part in (constraint,) if not isinstance(constraint, str) else ():
            members = next(iter(part.__dict__.values()))
            if (name := getattr(members, "name", None)) is not None:
                yield name
            if isinstance(constraint, ForeignKey):
                yield constraint.ForeignKey.references_table
                yield from constraint.ForeignKey.references_columns
