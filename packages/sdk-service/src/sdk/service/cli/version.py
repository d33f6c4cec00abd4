"""``sdk version``"""

from __future__ import annotations

import platform
from importlib.metadata import distributions

import click


def components() -> dict[str, str]:
    """Name and version of every installed ``sdk-*`` distribution."""
    found = {each.name: each.version for each in distributions() if each.name and each.name.startswith("sdk-")}
    return dict(sorted(found.items()))


@click.command(name="version", help="Every installed component with its version.")
def command() -> None:
    found = components()
    width = max(map(len, found), default=0)
    for name, version in found.items():
        click.echo(f"{name:<{width}}  {version}")
    click.echo(f"{'python':<{width}}  {platform.python_version()}")
