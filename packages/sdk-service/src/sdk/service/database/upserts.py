"""INSERTs that may meet a row that is there, which every dialect writes in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert

from sdk.service.database.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table
    from sqlalchemy.sql.base import Executable


def insert_or_ignore(table: Table) -> Prepared:
    """An INSERT that leaves a row alone which is already there. ``run_many`` counts the rows that were not.

    MySQL's IGNORE also lets pass what does not fit its column: for values that were checked.
    """

    def sqlite() -> Executable:
        from sqlalchemy.dialects.sqlite import insert

        return insert(table).on_conflict_do_nothing()

    def postgresql() -> Executable:
        from sqlalchemy.dialects.postgresql import insert

        return insert(table).on_conflict_do_nothing()

    def mysql() -> Executable:
        return insert(table).prefix_with("IGNORE")

    return Prepared(insert(table), sqlite=sqlite, postgresql=postgresql, mysql=mysql)


def upsert(table: Table, key: Sequence[str], columns: Sequence[str]) -> Prepared:
    """An INSERT that sets ``columns`` of the row that has the same ``key``, if there is one."""

    def sqlite() -> Executable:
        from sqlalchemy.dialects.sqlite import insert

        new = insert(table)
        return new.on_conflict_do_update(index_elements=key, set_={name: new.excluded[name] for name in columns})

    def postgresql() -> Executable:
        from sqlalchemy.dialects.postgresql import insert

        new = insert(table)
        return new.on_conflict_do_update(index_elements=key, set_={name: new.excluded[name] for name in columns})

    def mysql() -> Executable:
        from sqlalchemy.dialects.mysql import insert

        new = insert(table)
        return new.on_duplicate_key_update({name: new.inserted[name] for name in columns})

    return Prepared(insert(table), sqlite=sqlite, postgresql=postgresql, mysql=mysql)
