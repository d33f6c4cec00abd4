"""Migrations: components side by side in one database, on every dialect, from any number of processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command

from sdk.core.errors import NotMigrated, SchemaTooNew, StorageError
from sdk.service.database import Database
from sdk.service.migrations import MigrationSet, Status, downgrade, ensure_current, installed, status, upgrade
from sdk.service.migrations.revision import main as revision_main
from sdk.service.migrations.revision import write_revision
from support import things
from support.component import metadata, package_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sdk.service.database import Unit

TESTS = Path(__file__).parents[1]


FIRST = '''
"""initial"""
import sqlalchemy as sa
from alembic import op
from sdk.service.database import Key, LongBinary, Timestamp
revision, down_revision, branch_labels, depends_on = "0001", None, None, None

def upgrade():
    op.create_table(
        "{component}_items",
        sa.Column("id", Key, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("made_at", Timestamp(), nullable=False),
        sa.Column("raw", LongBinary),
        sa.UniqueConstraint("name", name=op.f("uq_{component}_items_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_{component}_items")),
    )

def downgrade():
    op.drop_table("{component}_items")
'''

SECOND = '''
"""adds a table, then fails"""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None

def upgrade():
    op.create_table("{component}_more", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO nowhere VALUES (1)")

def downgrade():
    op.drop_table("{component}_more")
'''


@pytest.fixture
def make_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MigrationSet]:
    """A component with one migration, as a package of its own."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(component: str, *, broken: bool = False, newer: bool = False) -> MigrationSet:
        package = tmp_path / package_name(component, tmp_path)
        (package / "versions").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "versions" / "0001_initial.py").write_text(FIRST.format(component=component))
        if broken:
            (package / "versions" / "0002_broken.py").write_text(SECOND.format(component=component))
        return MigrationSet(
            component=component,
            package=package.name,
            metadata=metadata(component, newer=newer),
            tables=frozenset({f"{component}_items", f"{component}_retired"}),
        )

    return make


@pytest.fixture
async def empty(address: tuple[str, str | None]) -> AsyncIterator[Database]:
    url, schema = address
    async with await Database.open(url, schema=schema, timeout=10) as database:
        yield database


def tables(unit: Unit) -> set[str]:
    return set(sa.inspect(unit.connection).get_table_names())


async def test_components_share_a_database_without_seeing_each_other(
    empty: Database, make_set: Callable[..., MigrationSet]
) -> None:
    one, other = make_set("one"), make_set("other")
    assert await status(empty, [one]) == [Status("one", None, "0001")]
    assert await upgrade(empty, [one, other]) == [Status("one", "0001", "0001"), Status("other", "0001", "0001")]
    assert await upgrade(empty, [one]) == [Status("one", "0001", "0001")]
    expected = {"one_items", "other_items", "alembic_version_one", "alembic_version_other"}
    assert await empty.read(tables) == expected
    assert await empty.read(lambda unit: (one.drift(unit.connection), other.drift(unit.connection))) == ([], [])
    assert await downgrade(empty, one, "base") == Status("one", None, "0001")
    assert await empty.read(tables) == expected - {"one_items"}
    assert await status(empty, [other]) == [Status("other", "0001", "0001")]


async def test_drift_is_seen_and_only_in_ones_own_tables(
    empty: Database, make_set: Callable[..., MigrationSet]
) -> None:
    await upgrade(empty, [make_set("neighbour")])
    newer = make_set("one", newer=True)
    await upgrade(empty, [newer])

    def retire(unit: Unit) -> None:
        unit.connection.exec_driver_sql("CREATE TABLE one_retired (id INTEGER)")

    await empty.migrate(retire)
    found = await empty.read(lambda unit: newer.drift(unit.connection))
    assert sorted(each[0] for each in found) == ["add_column", "remove_table"]


async def test_the_column_types_of_the_service_do_not_drift(empty: Database) -> None:
    await empty.migrate(things.create)
    everything = MigrationSet(component="things", package="none", metadata=things.METADATA)
    assert await empty.read(lambda unit: everything.drift(unit.connection)) == []


async def test_a_service_starts_only_on_tables_it_knows(empty: Database, make_set: Callable[..., MigrationSet]) -> None:
    one, other = make_set("one"), make_set("other")
    with pytest.raises(NotMigrated, match=r"the one tables are missing.*sdk db upgrade"):
        await ensure_current(empty, one)
    await upgrade(empty, [one])
    await ensure_current(empty, one)

    def from_the_future(unit: Unit) -> None:
        unit.connection.exec_driver_sql("UPDATE alembic_version_one SET version_num = '0099'")

    await empty.migrate(from_the_future)
    assert await status(empty, [one]) == [Status("one", "0099", "0001", too_new=True)]
    for refused in (ensure_current(empty, one), upgrade(empty, [other, one]), downgrade(empty, one, "base")):
        with pytest.raises(SchemaTooNew, match=r"0099.*upgrade it"):
            await refused
    assert "other_items" not in await empty.read(tables)


@pytest.mark.parametrize("address", ["sqlite", "memory", "postgresql"], indirect=True)
async def test_an_upgrade_is_all_or_nothing(empty: Database, make_set: Callable[..., MigrationSet]) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        await upgrade(empty, [make_set("one"), make_set("broken", broken=True)])
    assert await empty.read(tables) == set()


async def test_a_failed_migration_can_be_run_again(
    empty: Database, make_set: Callable[..., MigrationSet], tmp_path: Path
) -> None:
    broken = make_set("broken", broken=True)
    with pytest.raises(StorageError, match="nowhere"):
        await upgrade(empty, [broken])
    script = tmp_path / package_name("broken", tmp_path) / "versions" / "0002_broken.py"
    mended = script.read_text().replace('op.execute("INSERT INTO nowhere VALUES (1)")', "pass")
    if empty.dialect == "mysql":  # DDL commits by itself: what the failed attempt made is there
        mended = mended.replace("op.create_table(", 'op.drop_table("broken_more")\n    op.create_table(')
    script.write_text(mended)
    assert await upgrade(empty, [broken]) == [Status("broken", "0002", "0002")]


PROCESSES = """
import asyncio, os, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from support.component import metadata, package_name
from sdk.service.database import Database, mysql, postgresql, sqlite
from sdk.service.migrations import MigrationSet, upgrade

async def main(url, schema):
    sets = [
        MigrationSet(component=name, package=package_name(name, Path({folder!r})), metadata=metadata(name))
        for name in ("one", "other")
    ]
    async with await Database.open(url, schema=schema or None) as database:
        found = await upgrade(database, sets)
        print([(each.component, each.current) for each in found], flush=True)

children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        asyncio.run(main(sys.argv[1], sys.argv[2]))
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.parametrize("address", ["sqlite", "postgresql", "mariadb"], indirect=True)
async def test_six_processes_upgrade_at_once(
    address: tuple[str, str | None], make_set: Callable[..., MigrationSet], tmp_path: Path
) -> None:
    make_set("one")
    make_set("other")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROCESSES.format(folder=str(tmp_path)),
        address[0],
        address[1] or "",
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines() == ["[('one', '0001'), ('other', '0001')]"] * 6


async def test_many_databases_of_one_process_upgrade_at_once(
    tmp_path: Path, make_set: Callable[..., MigrationSet]
) -> None:
    migrations = make_set("one")
    opened = [await Database.open(f"sqlite:///{tmp_path / str(number)}.sqlite") for number in range(8)]
    try:
        outcomes = await asyncio.gather(*(upgrade(each, [migrations]) for each in opened))
        assert all(each.up_to_date for outcome in outcomes for each in outcome)
    finally:
        for each in opened:
            await each.close()


async def test_tables_are_rebuilt_without_losing_what_refers_to_them(
    sqlite_url: str, make_set: Callable[..., MigrationSet]
) -> None:
    """SQLite's batch mode drops the old table: with foreign keys on, that would delete or refuse."""
    one = make_set("one")
    async with await Database.open(sqlite_url) as database:
        await upgrade(database, [one])

        def refer(unit: Unit) -> None:
            run = unit.connection.exec_driver_sql
            run("INSERT INTO one_items (id, name, made_at) VALUES (1, 'a', '2026-01-01T00:00:00.000Z')")
            run("CREATE TABLE child (up INTEGER REFERENCES one_items (id) ON DELETE CASCADE)")
            run("INSERT INTO child VALUES (1)")

        await database.write(refer)

        def rebuild(unit: Unit) -> None:
            from alembic.migration import MigrationContext
            from alembic.operations import Operations

            operations = Operations(MigrationContext.configure(unit.connection))
            with operations.batch_alter_table("one_items", recreate="always") as batch:
                batch.add_column(sa.Column("label", sa.String(20)))

        await database.migrate(rebuild)
        assert await database.read(
            lambda unit: unit.connection.exec_driver_sql("SELECT up, label FROM child, one_items WHERE id = up").all()
        ) == [(1, None)]


@pytest.mark.parametrize("migrations", installed(), ids=lambda each: each.component)
def test_each_history_is_a_line_of_files_named_for_their_revision(migrations: MigrationSet) -> None:
    """Which is all that a service that starts looks at; alembic reads the files themselves."""
    scripts = migrations.script()
    assert scripts.get_heads() == [migrations.head()]
    assert [each.revision for each in scripts.walk_revisions()][::-1] == migrations.revisions()


async def test_a_version_table_of_two_histories_is_refused(
    empty: Database, make_set: Callable[..., MigrationSet]
) -> None:
    one = make_set("one")
    await upgrade(empty, [one])

    def fork(unit: Unit) -> None:
        unit.connection.exec_driver_sql("INSERT INTO alembic_version_one VALUES ('0002')")

    await empty.migrate(fork)
    with pytest.raises(StorageError, match="alembic_version_one holds 2 rows"):
        await ensure_current(empty, one)


def test_tables_must_be_named() -> None:
    with pytest.raises(ValueError, match="one_items"):
        MigrationSet(component="one", package="x", metadata=metadata("one"), tables=frozenset({"other"}))


def test_installed_by_name_and_unknown() -> None:
    assert {each.component for each in installed(["wallet"])} == {"wallet"}


async def test_a_revision_is_written_from_the_models(
    empty: Database, make_set: Callable[..., MigrationSet], tmp_path: Path
) -> None:
    newer = make_set("one", newer=True)
    path = write_revision(newer, "add labels")
    assert path == tmp_path / package_name("one", tmp_path) / "versions" / "0002_add_labels.py"
    assert "add_column(sa.Column('label'" in path.read_text()
    assert await upgrade(empty, [newer]) == [Status("one", "0002", "0002")]
    assert await empty.read(lambda unit: newer.drift(unit.connection)) == []


def test_a_first_revision_names_our_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fresh_migrations" / "versions").mkdir(parents=True)
    (tmp_path / "fresh_migrations" / "__init__.py").touch()
    fresh = MigrationSet(component="fresh", package="fresh_migrations", metadata=metadata("fresh"))
    text = write_revision(fresh, "initial").read_text()
    assert "from sdk.service.database import Timestamp" in text
    assert "Timestamp()" in text


def test_the_revision_script_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert revision_main([]) == 2
    assert revision_main(["nobody", "x"]) == 1
    assert "no plugin 'nobody'" in capsys.readouterr().err


async def test_the_alembic_command_line_works_where_a_component_ships_an_env(
    sqlite_url: str, make_set: Callable[..., MigrationSet], tmp_path: Path
) -> None:
    one = make_set("one")
    env = tmp_path / package_name("one", tmp_path) / "env.py"
    env.write_text(
        "from support.component import metadata\n"
        "from sdk.service.migrations import MigrationSet, env\n"
        f'env.run(MigrationSet(component="one", package={one.package!r}, metadata=metadata("one")))\n'
    )
    config = one.config()
    config.set_main_option("sqlalchemy.url", sqlite_url)
    await asyncio.to_thread(command.upgrade, config, "head")
    engine = sa.create_engine(sqlite_url)
    config.attributes["connection"] = engine
    await asyncio.to_thread(command.upgrade, config, "head")
    engine.dispose()
    async with await Database.open(sqlite_url) as database:
        await ensure_current(database, one)
