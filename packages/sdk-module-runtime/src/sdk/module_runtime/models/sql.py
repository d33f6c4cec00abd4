"""Models as an SQL script, for one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.schema import CreateSchema

from sdk.module_runtime.models.errors import ModelError
from sdk.module_runtime.models.tables import DIALECTS, OUTSIDE, enumerations, tables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.module_runtime.models.definitions import ModelDescriptor


def generate(models: Sequence[ModelDescriptor], dialect: str) -> str:
    """The whole script: schemas, enumeration types, tables in the order their keys need, indexes, comments."""
    if dialect not in DIALECTS:
        raise ModelError(f"there is no dialect {dialect!r}; there are {', '.join(DIALECTS)}")
    return "".join(f"{statement};\n" for statement in statements(models, dialect))


def statements(models: Sequence[ModelDescriptor], dialect: str) -> list[str]:
    """One by one, so that no script has to be cut at semicolons."""
    found: list[str] = []
    engine = mock_engine(dialect, lambda element: found.append(_text(element, engine.dialect)))
    create(engine, models, dialect, tables_of(models, dialect))
    return found


def mock_engine(dialect: str, take: Callable[[Any], None]) -> Any:
    """Gives ``take`` what would be executed, as SQLAlchemy's elements."""
    return sa.create_mock_engine(_URLS[dialect], lambda element, *_args, **_kwargs: take(element))


def create(connection: Any, models: Sequence[ModelDescriptor], dialect: str, metadata: sa.MetaData) -> None:
    """On a real connection what is there already stays as it is."""
    checks = not isinstance(connection, MockConnection)
    if dialect == "postgres":
        for schema in sorted({model.schema_ for model in models if model.schema_}):
            connection.execute(CreateSchema(schema, if_not_exists=True))
        for (schema_, name), values in enumerations(models).items():
            made = postgresql.ENUM(*values, name=name, schema=schema_)
            if checks:
                made.create(connection, checkfirst=True)
            else:
                connection.execute(postgresql.CreateEnumType(made))
    metadata.create_all(connection, tables=described(metadata), checkfirst=checks)


def described(metadata: sa.MetaData) -> list[sa.Table]:
    """Without the tables that are only referred to."""
    return [table for table in metadata.tables.values() if not table.info.get(OUTSIDE)]


def _text(element: Any, speaks: sa.Dialect) -> str:
    return str(element.compile(dialect=speaks)).strip().replace("%%", "%")


_URLS: Final = {"sqlite": "sqlite://", "postgres": "postgresql+psycopg://", "mysql": "mysql+pymysql://"}
