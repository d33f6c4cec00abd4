"""``sdk plugins``"""

from __future__ import annotations

from typing import Any

import click

from sdk.core.errors import PluginConflict, PluginError
from sdk.core.plugins import GROUPS, PluginRegistry


@click.command(name="plugins", help="What is installed in every plugin group; conflicts and what cannot be loaded.")
@click.option("--group", help="Only this group.")
@click.option("--no-load", is_flag=True, help="List what is installed without importing any of it.")
def command(group: str | None, no_load: bool) -> None:
    if group is not None and group not in GROUPS:
        raise click.BadParameter(f"there is no group {group}; groups are {', '.join(GROUPS)}", param_hint="--group")
    wrong = 0
    for name in GROUPS if group is None else (group,):
        wrong += _show(PluginRegistry(name), load=not no_load)
    if wrong:
        raise SystemExit(1)


def _show(registry: PluginRegistry[Any], *, load: bool) -> int:
    names = list(registry)
    click.echo(f"{registry.group}{'' if names else '  (none)'}")
    wrong = 0
    for name in names:
        state = _state(registry, name, load=load)
        wrong += state != ""
        click.echo(f"  {name:<20} {', '.join(registry.sources(name))}{state}")
    return wrong


def _state(registry: PluginRegistry[Any], name: str, *, load: bool) -> str:
    sources = registry.sources(name)
    if len(sources) > 1:
        return f"  CONFLICT: {PluginConflict(registry.group, name, sources)}"
    if not load:
        return ""
    try:
        registry.load(name)
    except PluginError as error:
        cause = error.__cause__
        return f"  BROKEN: {type(cause).__name__}: {' '.join(str(cause).split())}" if cause else f"  BROKEN: {error}"
    return ""
