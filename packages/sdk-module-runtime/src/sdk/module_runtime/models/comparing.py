"""What alembic does not compare, or takes for another type where a database has two names for one."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from sdk.module_runtime.models.column_types import Custom
from sdk.module_runtime.models.sql import described
from sdk.module_runtime.models.tables import enumerations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sdk.module_runtime.models.definitions import ModelDescriptor


def same_type(
    _context: Any, _inspected: sa.Column[Any], _wanted: sa.Column[Any], found: Any, wanted: Any
) -> bool | None:
    """False where the types are the same, None to let alembic compare."""
    if isinstance(wanted, Custom):
        return False  # only its own database knows its names
    if isinstance(wanted, sa.JSON) and isinstance(found, mysql.LONGTEXT):
        return False  # MariaDB's JSON is text that it checks
    if isinstance(wanted, sa.Boolean) and isinstance(found, mysql.TINYINT):
        return False
    if isinstance(wanted, mysql.ENUM) and isinstance(found, mysql.ENUM):
        return list(wanted.enums) != list(found.enums)
    if isinstance(wanted, postgresql.ENUM) and isinstance(found, postgresql.ENUM):
        return False  # compared by ``extra_changes``
    if isinstance(wanted, mysql.LONGBLOB) and isinstance(found, mysql.LONGBLOB):
        return False
    return None


@contextmanager
def read_exactly(connection: sa.Connection, db_type: str) -> Iterator[None]:
    """MariaDB's defaults and comments from where they stand unchanged: SQLAlchemy stumbles over quotes in them."""
    if db_type != "mysql":
        yield
        return
    query = (
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT, COLUMN_COMMENT FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')"
    )
    own = connection.exec_driver_sql("SELECT DATABASE()").scalar()
    known = {(row[0], row[1], row[2]): (row[3], row[4]) for row in connection.exec_driver_sql(query)}

    def correct(_inspector: Any, table: sa.Table, column: Any) -> None:
        default, comment = known.get((table.schema or own, table.name, column["name"]), (None, None))
        column["default"] = None if default in (None, "NULL") else _doubled(default)
        column["comment"] = comment or None

    sa.event.listen(sa.Table, "column_reflect", correct)
    try:
        yield
    finally:
        sa.event.remove(sa.Table, "column_reflect", correct)


def _doubled(default: str) -> str:
    """With quotes written twice, not after a backslash."""
    return re.sub(r"\\(.)", lambda found: "''" if found[1] == "'" else found[0], default)


def extra_changes(
    connection: sa.Connection, db_type: str, models: Sequence[ModelDescriptor], metadata: sa.MetaData
) -> Iterator[tuple[str, str, bool, Any]]:
    """Checks by name, and PostgreSQL's enumerations: table, what is to be done, whether it removes, and how."""
    inspector = sa.inspect(connection)
    for table in described(metadata):
        if not inspector.has_table(table.name, schema=table.schema):
            continue
        there = {str(each["name"]) for each in inspector.get_check_constraints(table.name, schema=table.schema)}
        wanted = {str(each.name): each for each in table.constraints if isinstance(each, sa.CheckConstraint)}
        for name in sorted(set(wanted) - there):
            yield table.name, f"create check {table.name}.{name}", False, _check_op(wanted[name])
        columns = {column.name for column in table.columns}
        for name in sorted(there - set(wanted) - columns - {"None"}):
            yield table.name, f"drop check {table.name}.{name}", True, _drop_op(table, name)
    if db_type == "postgres":
        yield from _enumerations(inspector, models)


def _check_op(constraint: sa.CheckConstraint) -> Any:
    from alembic.operations import ops

    return ops.CreateCheckConstraintOp.from_constraint(constraint)


def _drop_op(table: sa.Table, name: str) -> Any:
    from alembic.operations import ops

    return ops.DropConstraintOp(name, table.name, type_="check", schema=table.schema)


def _enumerations(inspector: Any, models: Sequence[ModelDescriptor]) -> Iterator[tuple[str, str, bool, Any]]:
    """Values are added; PostgreSQL takes none away."""
    for (schema, name), values in enumerations(models).items():
        there = {each["name"]: each["labels"] for each in inspector.get_enums(schema=schema)}
        for value in values:
            if name in there and value not in there[name]:
                yield name, f"add value {value!r} to the enumeration {name}", False, _adding(schema, name, value)


def _adding(schema: str | None, name: str, value: str) -> Callable[[sa.Connection], None]:
    def add(connection: sa.Connection) -> None:
        quote = connection.dialect.identifier_preparer.quote
        place = f"{quote(schema)}.{quote(name)}" if schema else quote(name)
        escaped = value.replace("'", "''").replace("%", "%%")
        connection.exec_driver_sql(f"ALTER TYPE {place} ADD VALUE IF NOT EXISTS '{escaped}'")

    return add
