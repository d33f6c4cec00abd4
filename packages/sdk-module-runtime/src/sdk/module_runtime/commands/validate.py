"""``sdk runtime validate PATH``"""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    name="validate", help="Check a stack file, or the project folder of a module; exit 1 if something is wrong."
)
@click.argument("path", type=click.Path(path_type=Path, exists=True), default=Path("stack.toml"))
def command(path: Path) -> None:
    from sdk.module_runtime.tooling.checks import check

    problems = check(path)
    for each in problems:
        click.echo(each, err=True)
    if problems:
        raise SystemExit(1)
    click.echo(f"{path} is right")
