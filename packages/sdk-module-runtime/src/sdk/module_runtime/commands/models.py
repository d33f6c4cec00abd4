"""``sdk runtime models``: tables described in a file, checked, written as SQL, applied and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.models.live import Change

_FILE = click.argument("file", type=click.Path(path_type=Path))
_DATABASE = click.option(
    "--database",
    envvar="SDK_DATABASE_URL",
    show_envvar=True,
    required=True,
    help="sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE or mysql://…",
)


@click.group(name="models", help="Describe a module's tables once, for SQLite, PostgreSQL and MariaDB.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


@command.command(help="Say what is wrong with the models of FILE, or nothing.")
@_FILE
def validate(file: Path) -> None:
    from sdk.module_runtime.models import read_models, validate_models

    models = read_models(file)
    validate_models(models)
    click.echo(f"{len(models)} tables, nothing wrong")


@command.command(help="Write the SQL that makes the models of FILE.")
@_FILE
@click.option("--dialect", type=click.Choice(["sqlite", "postgres", "mysql"]), required=True)
def generate(file: Path, dialect: str) -> None:
    from sdk.module_runtime.models import generate as script
    from sdk.module_runtime.models import read_models

    click.echo(script(read_models(file), dialect), nl=False)


@command.command(help="Make the tables of FILE that are missing; those that are there stay as they are.")
@_FILE
@_DATABASE
def apply(file: Path, database: str) -> None:
    from sdk.module_runtime.models import apply_models, read_models

    apply_models(_config(database), read_models(file))


@command.command(help="Say what sync would change. The status is 1 if there is anything.")
@_FILE
@_DATABASE
@click.pass_context
def diff(context: click.Context, file: Path, database: str) -> None:
    from sdk.module_runtime.models import diff_models, read_models

    found = diff_models(_config(database), read_models(file))
    _tell(found)
    context.exit(1 if found else 0)


@command.command(help="Change the database until it is as FILE says. Takes nothing away without --remove.")
@_FILE
@_DATABASE
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@click.option("--remove", is_flag=True, help="Also drop columns, constraints and indexes, and change types.")
def sync(file: Path, database: str, dry_run: bool, remove: bool) -> None:
    from sdk.module_runtime.models import read_models, sync_models

    _tell(sync_models(_config(database), read_models(file), dry_run=dry_run, remove=remove))


def _tell(changes: Sequence[Change]) -> None:
    for change in changes:
        click.echo(f"{'- ' if change.is_removal else '+ '}{change.text}")


def _config(url: str) -> DatabaseConfig:
    from sdk.module_runtime.data.database.urls import config_of

    return config_of(url)
