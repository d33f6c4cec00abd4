"""The ``sdk`` command as a process, with good, broken and conflicting plugins beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sdk.core.plugins import GROUPS

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = """
import click
print("imported {name}")

@click.command()
def command():
    "Says hello."
    print("hello from {name}")
"""


def sdk(*args: str, path: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}
    extra = {"PYTHONPATH": str(path)} if path is not None else {}
    return subprocess.run(
        [sys.executable, "-c", "import sdk_launcher; sdk_launcher.main()", *args],
        env={**inherited, **extra, **environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def install(folder: Path, distribution: str, name: str, code: str, group: str = "sdk.commands") -> None:
    """A distribution as pip leaves it: metadata, entry points and a module."""
    module = f"{distribution.replace('-', '_')}_{name}"
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{distribution.replace('-', '_')}-1.5.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\nSummary: Does {name}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:command\n")


def test_help_lists_every_command_and_imports_none(tmp_path: Path) -> None:
    install(tmp_path, "acme-good", "hello", COMMAND.format(name="hello"))
    install(tmp_path, "acme-bad", "broken", "raise RuntimeError('at import')")
    done = sdk("--help", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "imported" not in done.stdout
    for expected in ("hello", "Does hello (acme-good 1.5).", "broken", "version", "plugins", "db", "wallet", "monitor"):
        assert expected in done.stdout


def test_a_broken_plugin_fails_alone_and_in_one_line(tmp_path: Path) -> None:
    install(tmp_path, "acme-good", "hello", COMMAND.format(name="hello"))
    install(tmp_path, "acme-bad", "broken", "raise RuntimeError('at import')")
    install(tmp_path, "acme-odd", "odd", "command = 'not a command'")
    done = sdk("hello", path=tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["imported hello", "hello from hello"])
    done = sdk("broken", path=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "sdk: plugin 'broken' of sdk.commands, from acme-bad 1.5, could not be loaded: RuntimeError('at import')"
    ]
    assert "Traceback" in sdk("broken", path=tmp_path, SDK_DEBUG="1").stderr
    done = sdk("odd", path=tmp_path)
    assert (done.returncode, "not a click command" in done.stderr) == (1, True)


def test_two_plugins_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    install(tmp_path, "acme-one", "twin", COMMAND.format(name="one"))
    install(tmp_path, "acme-two", "twin", COMMAND.format(name="two"))
    done = sdk("twin", path=tmp_path)
    assert done.returncode == 1
    assert "acme-one 1.5" in done.stderr
    assert "acme-two 1.5" in done.stderr
    assert sdk("version", path=tmp_path).returncode == 0
    done = sdk("plugins", "--group", "sdk.commands", path=tmp_path)
    assert done.returncode == 1
    assert "CONFLICT" in done.stdout


def test_plugins_shows_every_group_and_what_is_wrong(tmp_path: Path) -> None:
    install(tmp_path, "acme-bad", "broken", "import no_such_module", group="sdk.chaintracks.sources")
    done = sdk("plugins", path=tmp_path)
    for group in GROUPS:
        assert group in done.stdout
    assert "BROKEN: ModuleNotFoundError: No module named 'no_such_module'" in done.stdout
    assert done.returncode == 1
    done = sdk("plugins", "--no-load", path=tmp_path)
    assert done.returncode == 0
    assert "BROKEN" not in done.stdout
    done = sdk("plugins", "--group", "sdk.nonsense")
    assert (done.returncode, "no group" in done.stderr) == (2, True)


def test_version_names_every_component() -> None:
    done = sdk("version")
    assert done.returncode == 0
    for name in ("sdk-core", "sdk-service", "python"):
        assert name in done.stdout


@pytest.mark.parametrize("args", [("nonsense",), ("db", "nonsense"), ("--nonsense",), ("db", "upgrade")])
def test_wrong_usage_is_2(args: tuple[str, ...]) -> None:
    done = sdk(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_foreign_init_file_is_diagnosed_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk" / "__init__.py").touch()
    done = sdk("version", path=tmp_path)
    assert done.returncode == 1
    assert "hides the sdk components" in done.stderr
    assert "No installed distribution owns it: remove it." in done.stderr
    install(tmp_path, "acme-intruder", "x", "")
    (tmp_path / "acme_intruder-1.5.dist-info" / "RECORD").write_text("sdk/__init__.py,,\n")
    done = sdk("version", path=tmp_path)
    assert "It belongs to acme-intruder 1.5: uninstall that." in done.stderr
    assert len(done.stderr.splitlines()) == 1


MIGRATIONS = """
import sqlalchemy as sa
from sdk.service.migrations import MigrationSet
metadata = sa.MetaData()
sa.Table("acme_items", metadata, sa.Column("id", sa.Integer, primary_key=True))
command = MigrationSet(component="acme", package="acme_store_scripts", metadata=metadata)
"""

VERSION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table("acme_items", sa.Column("id", sa.Integer, primary_key=True))
def downgrade():
    op.drop_table("acme_items")
"""


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A component with tables."""
    install(tmp_path, "acme-store", "acme", MIGRATIONS, group="sdk.migrations")
    (tmp_path / "acme_store_scripts" / "versions").mkdir(parents=True)
    (tmp_path / "acme_store_scripts" / "__init__.py").touch()
    (tmp_path / "acme_store_scripts" / "versions" / "0001_initial.py").write_text(VERSION)
    return tmp_path


def test_db_upgrade_and_status(acme: Path) -> None:
    url = f"sqlite:///{acme}/x.db"
    assert sdk("db", "upgrade", "--component", "acme", "--url", url, path=acme).stdout.split() == [
        "acme",
        "at",
        "0001",
        "(head)",
    ]
    done = sdk("db", "status", "--component", "acme", path=acme, SDK_DATABASE_URL=url)
    assert (done.returncode, done.stdout.split()) == (0, ["acme", "at", "0001", "(head)"])
    empty = f"sqlite:///{acme}/empty.db"
    (acme / "empty.db").touch()
    done = sdk("db", "status", "--component", "acme", "--url", empty, path=acme)
    assert done.returncode == 1
    assert "no tables; head is 0001: run `sdk db upgrade`" in done.stdout


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--url", "sqlite:////no/such/dir/x.db"), "the directory /no/such/dir does not exist"),
        (("--url", "nonsense"), "cannot be read"),
        (("--url", "postgresql+psycopg://sdk:hush@127.0.0.1:1/x"), "cannot be reached"),
    ],
)
def test_db_errors_are_one_line(acme: Path, args: tuple[str, ...], complaint: str) -> None:
    done = sdk("db", "upgrade", "--component", "acme", *args, path=acme)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert complaint in done.stderr
    assert "hush" not in done.stderr


def test_db_refuses_a_component_that_is_not_installed(acme: Path) -> None:
    done = sdk("db", "status", "--component", "nobody", "--url", "sqlite://", path=acme)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "no plugin 'nobody'" in done.stderr
