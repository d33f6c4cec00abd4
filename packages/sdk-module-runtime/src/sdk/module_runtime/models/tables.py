"""Models as SQLAlchemy's tables, which it writes for each database with every name escaped."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from sdk.module_runtime.models.column_types import column_type, integer_size, needs_range, range_of
from sdk.module_runtime.models.defaults import default_sql
from sdk.module_runtime.models.definitions import (
    Check,
    EnumType,
    ForeignKey,
    TextType,
    Unique,
)
from sdk.module_runtime.models.errors import ModelError, ModelUnsupported
from sdk.module_runtime.models.validation import (
    LONGEST_NAME,
    all_names,
    is_auto_increment,
    primary_key,
    validate_models,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.module_runtime.models.definitions import (
        ColumnDescriptor,
        Constraint,
        ForeignKeyMembers,
        IndexDescriptor,
        ModelDescriptor,
    )

DIALECTS: Final = ("sqlite", "postgres", "mysql")
OUTSIDE: Final = "outside"
"""``Table.info`` of a table that is only referred to."""
_ACTIONS: Final = {
    None: None, "NoAction": "NO ACTION", "Restrict": "RESTRICT", "Cascade": "CASCADE", "SetNull": "SET NULL",
    "SetDefault": "SET DEFAULT",
}  # fmt: skip
_METHODS: Final = {
    "postgres": {"BTree": "btree", "Hash": "hash", "Gin": "gin", "Gist": "gist"},
    "mysql": {"BTree": "BTREE", "Hash": "HASH"},
    "sqlite": {"BTree": "btree"},
}
_UNINDEXABLE: Final = ("Blob", "Json", "JsonB")


def tables_of(models: Sequence[ModelDescriptor], dialect: str) -> sa.MetaData:
    """``ModelError``, and ``ModelUnsupported`` for what this database cannot do."""
    validate_models(models)
    if dialect == "mysql":
        _refuse_backticks(models)
    metadata = sa.MetaData()
    for model in models:
        _table(metadata, model, dialect)
    for model in models:
        for members in _foreign_keys(model):
            _know(metadata, members, model, dialect)
    return metadata


def _refuse_backticks(models: Sequence[ModelDescriptor]) -> None:
    for model in models:
        for name in all_names(model):
            if "`" in name:
                raise ModelUnsupported(f"on MariaDB a name with a backtick cannot be read back: {name!r}")


def enumerations(models: Sequence[ModelDescriptor]) -> dict[tuple[str | None, str], list[str]]:
    """PostgreSQL's enumeration types by schema and name. ``ModelError`` if two of one name differ."""
    found: dict[tuple[str | None, str], list[str]] = {}
    for model in models:
        for column in model.columns:
            if isinstance(column.data_type, EnumType):
                name, values = column.data_type.Enum
                if found.setdefault((model.schema_, name), values) != values:
                    raise ModelError(f"the enumeration {name} has different values in different tables")
    return found


def place_of(model: ModelDescriptor, dialect: str) -> tuple[str, str | None]:
    """Name and schema. SQLite has no schemas, so there it is a prefix."""
    if dialect == "sqlite" and model.schema_ is not None:
        return _fitting(f"{model.schema_}_{model.name}"), None
    return model.name, model.schema_


def _table(metadata: sa.MetaData, model: ModelDescriptor, dialect: str) -> None:
    name, schema = place_of(model, dialect)
    keys = primary_key(model)
    counted = [column for column in model.columns if is_auto_increment(column)]
    if dialect == "sqlite" and counted and len(keys) > 1:
        raise ModelUnsupported("SQLite counts up only a primary key of one column")
    options: dict[str, Any] = {}
    if counted and dialect == "sqlite":
        options["sqlite_autoincrement"] = True
    if dialect == "mysql":
        given = {"engine": model.engine or "InnoDB", "charset": model.charset, "collate": model.collation}
        for key, value in given.items():
            if value is not None:
                options[f"mysql_{key}"] = _word(value)
    if model.options:
        raise ModelUnsupported(f"options {', '.join(sorted(model.options))} are unknown")
    columns = [_column(column, column.name in keys, dialect, model.schema_) for column in model.columns]
    table = sa.Table(name, metadata, *columns, schema=schema, comment=_comment(model.comment, dialect), **options)
    if keys:
        table.append_constraint(
            sa.PrimaryKeyConstraint(*keys, name=None if dialect == "mysql" else _fitting(f"{name}_pk"))
        )
    for constraint in _constraints(model, name, dialect):
        if isinstance(constraint, sa.Index):
            names = [str(column) for column in constraint.expressions]
            sa.Index(constraint.name, *(table.c[each] for each in names), unique=True)
        else:
            table.append_constraint(constraint)
    for index in model.indexes:
        _index(table, model, index, dialect)


def _column(column: ColumnDescriptor, is_key: bool, dialect: str, schema: str | None) -> sa.Column[Any]:
    default = default_sql(column, dialect)
    nullable = column.is_nullable and not is_key and "NotNull" not in column.constraints
    return sa.Column(
        column.name,
        column_type(column.data_type, dialect, schema),
        nullable=nullable,
        autoincrement=is_auto_increment(column),
        server_default=None if default is None else sa.text(default.replace(":", "\\:")),
        comment=_comment(column.comment, dialect),
    )


def _constraints(model: ModelDescriptor, table: str, dialect: str) -> Iterable[Any]:
    for column in model.columns:
        if column.is_unique or any(isinstance(each, Unique) for each in column.constraints):
            yield _unique(model, [column.name], f"{table}_{column.name}_unique", dialect)
        size = integer_size(column.data_type)
        if size is not None and needs_range(dialect, size) and not (dialect == "sqlite" and is_auto_increment(column)):
            low, high = range_of(size)
            name = _fitting(f"{table}_{column.name}_range")
            yield sa.CheckConstraint(sa.column(column.name).between(sa.text(str(low)), sa.text(str(high))), name=name)
        if isinstance(column.data_type, EnumType) and dialect == "sqlite":
            values: list[Any] = [sa.literal_column(_quoted(value)) for value in column.data_type.Enum[1]]
            yield sa.CheckConstraint(sa.column(column.name).in_(values), name=_fitting(f"{table}_{column.name}_enum"))
    named: list[tuple[Constraint, str]] = [(each, "") for each in model.constraints]
    named += [(each, f"_{column.name}") for column in model.columns for each in column.constraints]
    counts: dict[str, int] = {}
    for constraint, where in named:
        if isinstance(constraint, Check):
            default = f"{table}{where}_check"
            counts[default] = counts.get(default, 0) + 1
            number = "" if counts[default] == 1 else str(counts[default])
            name = f"{table}_{constraint.Check.name}" if constraint.Check.name else f"{default}{number}"
            yield sa.CheckConstraint(sa.text(constraint.Check.expression.replace(":", "\\:")), name=_fitting(name))
        elif isinstance(constraint, Unique) and not where:
            members = constraint.Unique
            name = members.name or f"{'_'.join(members.columns)}_unique"
            yield _unique(model, members.columns, f"{table}_{name}", dialect)
        elif isinstance(constraint, ForeignKey):
            yield _foreign_key(constraint.ForeignKey, model, table, dialect)


def _unique(model: ModelDescriptor, columns: list[str], name: str, dialect: str) -> sa.UniqueConstraint | sa.Index:
    """An index on SQLite, which tells of its indexes by name but of its constraints only by their text."""
    _indexable(model, columns, dialect)
    if dialect == "sqlite":
        return sa.Index(_fitting(name), *columns, unique=True)
    return sa.UniqueConstraint(*columns, name=_fitting(name))


def _foreign_key(
    members: ForeignKeyMembers, model: ModelDescriptor, table: str, dialect: str
) -> sa.ForeignKeyConstraint:
    if dialect == "mysql" and "SetDefault" in (members.on_delete, members.on_update):
        raise ModelUnsupported("MariaDB's InnoDB has no SET DEFAULT for foreign keys")
    target, schema = _target(members, model, dialect)
    full = target if schema is None else f"{schema}.{target}"
    return sa.ForeignKeyConstraint(
        members.columns,
        [f"{full}.{column}" for column in members.references_columns],
        name=_fitting(f"{table}_{members.name or '_'.join(members.columns) + '_fk'}"),
        ondelete=_ACTIONS[members.on_delete],
        onupdate=_ACTIONS[members.on_update],
        link_to_name=True,
    )


def _foreign_keys(model: ModelDescriptor) -> Iterable[ForeignKeyMembers]:
    for constraint in (*model.constraints, *(each for column in model.columns for each in column.constraints)):
        if isinstance(constraint, ForeignKey):
            yield constraint.ForeignKey


def _target(members: ForeignKeyMembers, model: ModelDescriptor, dialect: str) -> tuple[str, str | None]:
    """A table of another schema is written ``schema.table``; without, of the same."""
    schema, dot, table = members.references_table.partition(".")
    if not dot:
        schema, table = model.schema_ or "", members.references_table
    if dialect == "sqlite" and schema:
        return _fitting(f"{schema}_{table}"), None
    return table, schema or None


def _know(metadata: sa.MetaData, members: ForeignKeyMembers, model: ModelDescriptor, dialect: str) -> None:
    """A table that none of the models describes is only named."""
    target, schema = _target(members, model, dialect)
    key = target if schema is None else f"{schema}.{target}"
    if key not in metadata.tables:
        kinds = {column.name: column.data_type for column in model.columns}
        columns = [
            sa.Column(theirs, column_type(kinds[ours], dialect, schema))
            for ours, theirs in zip(members.columns, members.references_columns, strict=True)
        ]
        sa.Table(target, metadata, *columns, schema=schema, info={OUTSIDE: True})


def _index(table: sa.Table, model: ModelDescriptor, index: IndexDescriptor, dialect: str) -> None:
    options: dict[str, Any] = {}
    method = _METHODS[dialect].get(index.index_type) if index.index_type is not None else None
    if index.index_type is not None and method is None:
        raise ModelUnsupported(f"{dialect} has no index of type {index.index_type} here")
    if method is not None and dialect == "postgres":
        options["postgresql_using"] = method
    if index.condition is not None:
        if dialect == "mysql":
            raise ModelUnsupported("MySQL and MariaDB have no partial indexes (index conditions)")
        prefix = "postgresql" if dialect == "postgres" else "sqlite"
        options[f"{prefix}_where"] = sa.text(index.condition.replace(":", "\\:"))
    if method not in ("gin", "gist"):
        _indexable(model, index.columns, dialect)
    name = index.name or f"{table.name}_{'_'.join(index.columns)}_idx"
    sa.Index(_fitting(name), *(table.c[column] for column in index.columns), unique=index.is_unique, **options)


def _indexable(model: ModelDescriptor, columns: list[str], dialect: str) -> None:
    kinds = {column.name: column.data_type for column in model.columns}
    for column in columns:
        kind = kinds[column]
        if dialect == "mysql" and (isinstance(kind, TextType) or kind in _UNINDEXABLE):
            raise ModelUnsupported(f"MySQL and MariaDB index no column of this length: make {column!r} a Varchar")
        if dialect == "postgres" and kind == "Json":
            raise ModelUnsupported(f"PostgreSQL indexes no Json: make {column!r} a JsonB")


def _fitting(name: str) -> str:
    """A made name that is too long keeps its beginning, and ends in a digest of the whole."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}_{digest}"


def _comment(text: str | None, dialect: str) -> str | None:
    return None if dialect == "sqlite" else text


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _word(value: str) -> str:
    if not (value.isascii() and value.replace("_", "").isalnum()):
        raise ModelError(f"engine, charset and collation are words, unlike {value[:80]!r}")
    return value
