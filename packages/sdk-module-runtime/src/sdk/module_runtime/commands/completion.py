"""``sdk runtime completion SHELL``"""

from __future__ import annotations

import click


@click.command(
    name="completion", help='Write what SHELL reads for completion: eval "$(sdk runtime completion bash)", for example.'
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    root = context.find_root()
    click.echo(kind(root.command, {}, "sdk", "_SDK_COMPLETE").source())
