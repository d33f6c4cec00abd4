"""``sdk runtime new NAME``"""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="new", help="Make a project NAME (kebab-case) whose module runs and whose tests pass.")
@click.argument("name")
@click.option("--template", default="basic", show_default=True, help="See --list.")
@click.option("--output", "-o", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Parent folder.")
@click.option("--description", default="", help="One line.")
@click.option(
    "--list", "list_them", is_flag=True, is_eager=True, expose_value=False, callback=lambda c, _p, v: _list(c, v)
)
def command(name: str, template: str, output: Path, description: str) -> None:
    from sdk.module_runtime.tooling.project import create_project

    made = create_project(name, output, template=template, description=description)
    click.echo(f"made {made}; its README.md says how to go on")


def _list(context: click.Context, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from sdk.module_runtime.tooling.project import templates

    for name, purpose in templates().items():
        click.echo(f"{name:<10} {purpose}")
    context.exit()
