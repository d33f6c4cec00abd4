"""Upgrade, status and the check at start-up, over a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.errors import NotMigrated, SchemaTooNew
from sdk.core.plugins import PluginRegistry
from sdk.service.migrations.sets import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdk.service.database import Database, Unit
    from sdk.service.migrations.sets import MigrationSet


@dataclass(frozen=True, slots=True)
class Status:
    """Where one component's tables stand. ``current`` is None without tables; ``too_new`` if this release is older."""

    component: str
    current: str | None
    head: str
    too_new: bool = False

    @property
    def up_to_date(self) -> bool:
        return self.current == self.head


def installed(components: Iterable[str] = ()) -> list[MigrationSet]:
    """The migration sets of the named components, or of all that are installed.

    Raises ``PluginNotFound``, ``PluginConflict``, or ``PluginLoadError`` for one that cannot be loaded.
    """
    registry: PluginRegistry[MigrationSet] = PluginRegistry("sdk.migrations")
    return [registry.load(name) for name in components or registry]


async def upgrade(database: Database, sets: Iterable[MigrationSet] | None = None, revision: str = HEAD) -> list[Status]:
    """Bring each set (default: all installed) to ``revision``, under a lock; on SQLite and PostgreSQL all or none.

    Any number of processes may call this at once. Raises ``SchemaTooNew`` before anything is changed.
    """
    wanted = installed() if sets is None else list(sets)
    return await database.migrate(lambda unit: _upgrade(unit, wanted, revision))


def _upgrade(unit: Unit, sets: list[MigrationSet], revision: str) -> list[Status]:
    for each in sets:
        each.current(unit.connection)
    for each in sets:
        each.upgrade(unit.connection, revision)
    return _status(unit, sets)


async def downgrade(database: Database, migrations: MigrationSet, revision: str) -> Status:
    """Take one component back; the others are left alone. Tables that are dropped lose their rows."""

    def step(unit: Unit) -> Status:
        migrations.downgrade(unit.connection, revision)
        return _status(unit, [migrations])[0]

    return await database.migrate(step)


async def status(database: Database, sets: Iterable[MigrationSet] | None = None) -> list[Status]:
    wanted = installed() if sets is None else list(sets)
    return await database.read(_status, wanted)


def _status(unit: Unit, sets: list[MigrationSet]) -> list[Status]:
    found = []
    for each in sets:
        try:
            found.append(Status(each.component, each.current(unit.connection), each.head()))
        except SchemaTooNew as error:
            found.append(Status(each.component, error.found, error.known, too_new=True))
    return found


async def ensure_current(database: Database, migrations: MigrationSet) -> None:
    """For the start of a service: raise ``NotMigrated`` or ``SchemaTooNew`` unless the tables fit this release."""
    (found,) = await status(database, [migrations])
    if found.too_new:
        raise SchemaTooNew(found.component, str(found.current), found.head)
    if not found.up_to_date:
        raise NotMigrated(found.component, found.current, found.head)
