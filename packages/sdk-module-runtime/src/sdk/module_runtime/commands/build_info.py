"""``sdk runtime build-info PACKAGE_FOLDER``"""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="build-info", help="Write build_info.json into the folder of a package, before it is built.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--version", default="unknown", help="By default that of the installed distribution is shown.")
def command(folder: Path, version: str) -> None:
    from sdk.module_runtime.tooling.build_info import BuildInfo

    click.echo(BuildInfo.made_now(folder, version).write(folder))
