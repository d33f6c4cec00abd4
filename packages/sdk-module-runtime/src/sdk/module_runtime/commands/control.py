"""``sdk runtime start``, ``stop``, ``restart`` and ``replace``: what an operator may do to a running stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sdk.module_runtime.commands.admin_client import STACK, ask

if TYPE_CHECKING:
    from pathlib import Path


@click.command(name="start", help="Start MODULE, which is stopped or has failed, and wait until it is ready.")
@STACK
@click.argument("module")
def start(stack: Path, module: str) -> None:
    _act(stack, module, "start")


@click.command(name="stop", help="Stop MODULE until it is started again; without MODULE, the whole stack.")
@STACK
@click.argument("module", required=False)
def stop(stack: Path, module: str | None) -> None:
    if module is None:
        ask(stack, "POST", "/v1/stop")
        click.echo("the stack is stopping")
    else:
        _act(stack, module, "stop")


@click.command(name="restart", help="Stop MODULE, start it, and wait until it is ready.")
@STACK
@click.argument("module")
def restart(stack: Path, module: str) -> None:
    _act(stack, module, "restart")


@click.command(name="replace", help="Start another MODULE, and end the present one when the new one serves.")
@STACK
@click.argument("module")
def replace(stack: Path, module: str) -> None:
    _act(stack, module, "replace")


def _act(stack: Path, module: str, action: str) -> None:
    after = ask(stack, "POST", f"/v1/modules/{module}/{action}")
    click.echo(f"{after['name']} is {after['state']}")
    if after["state"] == "failed":
        raise click.ClickException(f"it crashes; `sdk runtime logs {module}` may say why")
