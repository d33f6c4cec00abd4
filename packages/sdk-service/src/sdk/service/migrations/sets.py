"""What one distribution owns in a database, and its alembic history.

Alembic is imported where something is to be done: a service that finds its tables current starts without it.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa

from sdk.core.errors import SchemaTooNew, StorageError
from sdk.service.database.types import LongBinary, LongText, Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection, MetaData

BASE: Final = "base"
HEAD: Final = "head"
_NUMBERED = re.compile(r"([0-9]{4})_\w+\.py")
_ALEMBIC = threading.Lock()
"""``alembic.op`` and ``alembic.context`` belong to the process: one migration at a time, whatever the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSet:
    """The tables and the migrations of one component.

    ``package`` is the import name of the package that holds ``versions/``, whose files are named for their revision:
    ``0002_add_labels.py``. The history is a line. ``tables`` are all table names the component
    owns or ever owned; the default is those of ``metadata``. Nothing else in the database is looked at, so components
    share one database without seeing each other.
    """

    component: str
    package: str
    metadata: MetaData = field(repr=False)
    tables: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        known = frozenset(table.name for table in self.metadata.tables.values())
        if not self.tables:
            object.__setattr__(self, "tables", known)
        if strangers := sorted(known - self.tables):
            raise ValueError(f"tables of {self.component} that its MigrationSet does not name: {', '.join(strangers)}")

    @property
    def version_table(self) -> str:
        return f"alembic_version_{self.component.replace('-', '_')}"

    def include_name(self, name: str | None, type_: str, _parents: Any) -> bool:
        """Alembic's reflection filter."""
        return type_ != "table" or name in self.tables

    def include_object(self, item: Any, name: str | None, type_: str, _reflected: bool, _compare_to: Any) -> bool:
        return type_ != "table" or name in self.tables

    def config(self, connection: Connection | None = None) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(files(self.package)).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        return config

    def options(self) -> dict[str, Any]:
        """For ``context.configure``; migrations and the drift check share them."""
        return {
            "target_metadata": self.metadata,
            "version_table": self.version_table,
            "include_name": self.include_name,
            "include_object": self.include_object,
            "render_as_batch": True,
            "compare_type": True,
            "compare_server_default": True,
            "render_item": _render_item,
        }

    def script(self) -> ScriptDirectory:
        from alembic.script import ScriptDirectory

        return ScriptDirectory.from_config(self.config())

    def revisions(self) -> list[str]:
        """Those this release knows, oldest first."""
        names = (file.name for file in files(self.package).joinpath("versions").iterdir())
        return sorted(match[1] for match in map(_NUMBERED.fullmatch, names) if match)

    def head(self) -> str:
        """The newest revision this release knows."""
        known = self.revisions()
        if not known:
            raise ValueError(f"{self.package} holds no migration")
        return known[-1]

    def current(self, connection: Connection) -> str | None:
        """The revision of the database, or None. Raises ``SchemaTooNew`` if this release does not know it."""
        if not sa.inspect(connection).has_table(self.version_table):
            return None
        column: sa.ColumnClause[str] = sa.column("version_num")
        found = connection.scalars(sa.select(column).select_from(sa.table(self.version_table, column))).all()
        if len(found) > 1:
            raise StorageError(f"{self.version_table} holds {len(found)} rows where one should be")
        if found and found[0] not in self.revisions():
            raise SchemaTooNew(self.component, found[0], self.head())
        return found[0] if found else None

    def drift(self, connection: Connection) -> list[Any]:
        """Differences between the models and the database; empty when they agree."""
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        context = MigrationContext.configure(connection, opts=self.options())
        return list(compare_metadata(context, self.metadata))

    def upgrade(self, connection: Connection, revision: str = HEAD) -> None:
        """Run what is missing, inside the caller's transaction."""
        found = self.current(connection)
        if found is not None and found == (self.head() if revision == HEAD else revision):
            return
        script = self.script()
        self._run(connection, script, lambda found, _context: script._upgrade_revs(revision, found))

    def downgrade(self, connection: Connection, revision: str = BASE) -> None:
        self.current(connection)
        script = self.script()
        self._run(connection, script, lambda found, _context: script._downgrade_revs(revision, found))

    def _run(self, connection: Connection, script: ScriptDirectory, steps: Callable[..., Any]) -> None:
        from alembic.runtime.environment import EnvironmentContext

        environment = EnvironmentContext(self.config(connection), script, fn=steps)
        with _ALEMBIC, environment:
            environment.configure(connection=connection, **self.options())
            with environment.begin_transaction():
                environment.run_migrations()


def _render_item(type_: str, item: Any, context: Any) -> str | Literal[False]:
    """Our column types, as a migration writes them."""
    if type_ == "type" and isinstance(item, (Timestamp, LongBinary, LongText)):
        name = type(item).__name__
        context.imports.add(f"from sdk.service.database import {name}")
        return f"{name}()"
    return False
