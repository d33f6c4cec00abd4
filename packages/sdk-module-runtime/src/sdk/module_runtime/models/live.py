"""Models against a live database: make what is missing, say what differs, change it.

Nothing is ever taken away unless it was asked for: a column, a constraint or an index that no model names, or another
type for a column that is there. Tables that no model describes are left alone. On SQLite and PostgreSQL all changes
are made or none; MariaDB commits each statement of this kind by itself, so there what was done before a failure stays.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops

from sdk.module_runtime.data.database.engine import create_engine
from sdk.module_runtime.models.comparing import extra_changes, read_exactly, same_type
from sdk.module_runtime.models.defaults import same_default
from sdk.module_runtime.models.errors import ChangesHeldBack, ModelApplyError
from sdk.module_runtime.models.sql import create
from sdk.module_runtime.models.tables import OUTSIDE, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.models.definitions import ModelDescriptor

_REMOVING: Final = (ops.DropColumnOp, ops.DropConstraintOp, ops.DropIndexOp, ops.DropTableOp)
_BEGIN: Final = {"sqlite": "BEGIN IMMEDIATE", "postgres": "BEGIN", "mysql": "START TRANSACTION"}


@dataclass(frozen=True, slots=True)
class Change:
    """``text`` says what would be done; ``is_removal`` that something is taken away or may not fit any more."""

    table: str
    text: str
    is_removal: bool


def apply_models(config: DatabaseConfig, models: Sequence[ModelDescriptor]) -> None:
    """Make the tables that are missing; those that are there stay as they are. ``ModelError``."""
    metadata = tables_of(models, config.db_type)
    with _connected(config) as connection, _whole(connection, config):
        create(connection, models, config.db_type, metadata)


def diff_models(config: DatabaseConfig, models: Sequence[ModelDescriptor]) -> list[Change]:
    """What ``sync_models`` would change. Empty if the database is as the models say.

    Expressions of checks and of partial indexes are not compared, for databases rewrite them; whether one of that name
    is there is.
    """
    metadata = tables_of(models, config.db_type)
    with _connected(config) as connection:
        return [change for change, _ in _changes(connection, config, models, metadata)]


def sync_models(
    config: DatabaseConfig, models: Sequence[ModelDescriptor], *, dry_run: bool = False, remove: bool = False
) -> list[Change]:
    """Change the database until it is as the models say; what was changed, or with ``dry_run`` would be.

    Without ``remove``, changes that take something away are an error, ``ChangesHeldBack``, and nothing is done.
    """
    metadata = tables_of(models, config.db_type)
    with _connected(config) as connection:
        found = _changes(connection, config, models, metadata)
        held = [change.text for change, _ in found if change.is_removal]
        if dry_run or not found:
            return [change for change, _ in found]
        if held and not remove:
            raise ChangesHeldBack(f"{'; '.join(held)}: these take something away; say so if that is meant")
        with _whole(connection, config):
            create(connection, models, config.db_type, metadata)
            _carry_out(connection, config, [op for _, op in found])
            if config.db_type == "mysql":  # the index of a foreign key outlives it, and can be seen only now
                left = _changes(connection, config, models, metadata)
                _carry_out(connection, config, [op for _, op in left])
                found += left
    return [change for change, _ in found]


def _changes(
    connection: sa.Connection, config: DatabaseConfig, models: Sequence[ModelDescriptor], metadata: sa.MetaData
) -> list[tuple[Change, Any]]:
    """Each with the operation of alembic's that does it; None for a table, which ``create`` makes."""
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": same_type,
            "compare_server_default": _differs,
            "include_schemas": any(table.schema for table in metadata.tables.values()),
            "include_name": _named(metadata, connection),
            "include_object": _described,
        },
    )
    with warnings.catch_warnings():  # of tables that refer to one another, which may well be compared
        warnings.filterwarnings("ignore", "Cannot correctly sort tables", sa.exc.SAWarning)
        with read_exactly(connection, config.db_type):
            script = produce_migrations(context, metadata)
    assert script.upgrade_ops is not None
    found = [(_told(each), each) for each in _flat(script.upgrade_ops)]
    made = [(change, None if isinstance(op, ops.CreateTableOp) else op) for change, op in found]
    made = [(change, op) for change, op in made if not (_is_index_of_new(op, found))]
    extra = extra_changes(connection, config.db_type, models, metadata)
    return made + [(Change(table, text, removal), op) for table, text, removal, op in extra]


def _is_index_of_new(op: Any, found: list[tuple[Change, Any]]) -> bool:
    """``create`` makes the indexes of a new table with it."""
    new = {each.table_name for _, each in found if isinstance(each, ops.CreateTableOp)}
    return (
        isinstance(op, (ops.CreateIndexOp, ops.CreateForeignKeyOp))
        and getattr(op, "table_name", getattr(op, "source_table", None)) in new
    )


def _flat(container: Any) -> Iterator[Any]:
    for each in container.ops:
        if hasattr(each, "ops"):
            yield from _flat(each)
        else:
            yield each


def _told(op: Any) -> Change:
    table = str(getattr(op, "table_name", None) or getattr(op, "source_table", ""))
    if isinstance(op, ops.AlterColumnOp):
        parts = []
        if op.modify_type is not None:
            parts.append(f"type {op.existing_type} to {op.modify_type}")
        if op.modify_nullable is not None:
            parts.append("allow NULL" if op.modify_nullable else "forbid NULL")
        if op.modify_server_default is not False:
            parts.append("another default")
        if op.modify_comment is not False:
            parts.append("another comment")
        text = f"alter column {table}.{op.column_name}: {', '.join(parts)}"
        return Change(table, text, op.modify_type is not None or op.modify_nullable is False)
    words = {
        ops.CreateTableOp: "create table", ops.DropTableOp: "drop table", ops.AddColumnOp: "add column",
        ops.DropColumnOp: "drop column", ops.CreateIndexOp: "create index", ops.DropIndexOp: "drop index",
        ops.DropConstraintOp: "drop constraint", ops.CreateUniqueConstraintOp: "create unique constraint",
        ops.CreateForeignKeyOp: "create foreign key", ops.CreateTableCommentOp: "another comment on table",
        ops.DropTableCommentOp: "no comment on table",
    }  # fmt: skip
    column = getattr(op, "column", None)
    name = (
        getattr(op, "index_name", None)
        or getattr(op, "constraint_name", None)
        or (column.name if isinstance(column, sa.Column) else None)
        or getattr(op, "column_name", None)
    )
    text = f"{words.get(type(op), type(op).__name__)} {table}{f'.{name}' if name else ''}"
    return Change(table, text, isinstance(op, _REMOVING))


def _carry_out(connection: sa.Connection, config: DatabaseConfig, operations: list[Any]) -> None:
    invoke = Operations(MigrationContext.configure(connection))
    for op in operations:
        if isinstance(op, ops.AlterColumnOp):
            _make_invokable(op, config.db_type)
    if config.db_type != "sqlite":
        for op in operations:
            if callable(op):
                op(connection)
            elif op is not None:
                invoke.invoke(op)
        return
    by_table: dict[str, list[Any]] = {}
    for op in operations:
        if op is not None:
            by_table.setdefault(getattr(op, "table_name", None) or op.source_table, []).append(op)
    for table, group in by_table.items():
        with invoke.batch_alter_table(table) as batch:
            for op in group:
                batch.invoke(op)


def _make_invokable(op: ops.AlterColumnOp, db_type: str) -> None:
    """What alembic finds by comparing is not always what it takes."""
    if isinstance(op.modify_server_default, sa.DefaultClause):
        op.modify_server_default = op.modify_server_default.arg
    if db_type != "mysql":
        for name in ("autoincrement", "existing_autoincrement"):
            op.kw.pop(name, None)


def _described(_item: Any, name: str | None, kind: str, reflected: bool, counterpart: Any) -> bool:
    if kind == "table" and not reflected and _item.info.get(OUTSIDE):
        return False
    if kind == "index" and reflected and counterpart is None and _serves_a_key(_item):
        return False
    return not (kind == "table" and reflected and counterpart is None)


def _serves_a_key(index: sa.Index) -> bool:
    """MariaDB makes an index for each foreign key by itself."""
    columns = [column.name for column in index.columns]
    keys = [] if index.table is None else index.table.foreign_key_constraints
    return not index.unique and any(columns == list(each.column_keys) for each in keys)


def _named(metadata: sa.MetaData, connection: sa.Connection) -> Any:
    """Only what the models describe is looked at; in MariaDB the connection's database is the schema None."""
    schemas = {table.schema for table in metadata.tables.values()}
    names = {(table.schema, table.name) for table in metadata.tables.values() if not table.info.get(OUTSIDE)}

    def is_named(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name in schemas
        if kind == "table":
            return (parents["schema_name"], name) in names
        return True

    return is_named


def _differs(
    _context: Any, inspected: sa.Column[Any], wanted: sa.Column[Any], said: str | None, _default: Any, _rendered: Any
) -> bool:
    if said is not None and "nextval(" in said:
        return False  # a serial column counts by itself
    default = wanted.server_default
    text = None
    if isinstance(default, sa.DefaultClause) and isinstance(default.arg, sa.TextClause):
        text = default.arg.text.replace("\\:", ":")
    return not same_default(said, text)


@contextmanager
def _connected(config: DatabaseConfig) -> Iterator[sa.Connection]:
    engine = create_engine(config)
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        cause = error.orig if error.orig is not None else error
        raise ModelApplyError(str(cause.args[-1] if cause.args else cause).partition("\n")[0]) from error
    finally:
        engine.dispose()


@contextmanager
def _whole(connection: sa.Connection, config: DatabaseConfig) -> Iterator[None]:
    """One transaction. SQLite makes a table anew to change it, and must not take that for deleting its rows."""
    is_sqlite = config.db_type == "sqlite"
    if is_sqlite:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.exec_driver_sql(_BEGIN[config.db_type])
    try:
        yield
        if is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()):
            raise ModelApplyError(f"rows of {broken[0]} refer to rows of {broken[2]} that are not there")
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
