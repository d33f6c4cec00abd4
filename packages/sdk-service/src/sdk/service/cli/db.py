"""``sdk db upgrade|status``"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.service.database import Database
    from sdk.service.migrations import MigrationSet, Status

_OPTIONS = (
    click.option(
        "--url",
        envvar="SDK_DATABASE_URL",
        show_envvar=True,
        required=True,
        help="sqlite:///PATH, postgresql+psycopg://…",
    ),
    click.option(
        "--schema", envvar="SDK_DATABASE_SCHEMA", show_envvar=True, help="PostgreSQL schema, or MySQL database."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, 3600),
        default=60.0,
        show_default=True,
        help="Seconds to wait for a lock that another process holds.",
    ),
    click.option("--component", "components", multiple=True, help="Only this component; may be repeated."),
)


def _database_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.group(name="db", help="Create, upgrade and inspect database tables.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


@command.command(name="upgrade", help="Create or upgrade the tables of the installed components. Safe to repeat.")
@_database_options
def upgrade(url: str, schema: str | None, timeout: float, components: tuple[str, ...]) -> None:
    from sdk.service import migrations

    sets = _chosen(components)
    found = _with_database(url, schema, timeout, False, lambda database: migrations.upgrade(database, sets))
    _show(found)


@command.command(name="status", help="Which revision each component's tables are at; exit 1 unless all are current.")
@_database_options
def status(url: str, schema: str | None, timeout: float, components: tuple[str, ...]) -> None:
    from sdk.service import migrations

    sets = _chosen(components)
    found = _with_database(url, schema, timeout, True, lambda database: migrations.status(database, sets))
    _show(found)
    if not all(each.up_to_date for each in found):
        raise SystemExit(1)


def _chosen(components: tuple[str, ...]) -> list[MigrationSet]:
    from sdk.service.migrations import installed

    sets = installed(components)
    if not sets:
        raise ConfigurationError("no installed component has tables")
    return sets


def _with_database(
    url: str, schema: str | None, timeout: float, read_only: bool, work: Callable[[Database], Awaitable[list[Status]]]
) -> list[Status]:
    from sdk.service.database import Database

    async def run() -> list[Status]:
        async with await Database.open(url, schema=schema, read_only=read_only, timeout=timeout) as database:
            return await work(database)

    return asyncio.run(run())


def _show(found: list[Status]) -> None:
    for each in found:
        if each.too_new:
            state = f"at {each.current}, newer than this release (head {each.head}): upgrade sdk-{each.component}"
        elif each.up_to_date:
            state = f"at {each.current} (head)"
        else:
            state = f"at {each.current}" if each.current else "no tables"
            state += f"; head is {each.head}: run `sdk db upgrade`"
        click.echo(f"{each.component:<16} {state}")
