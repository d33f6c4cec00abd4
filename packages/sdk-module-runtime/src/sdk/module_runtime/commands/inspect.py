"""``sdk runtime ps``, ``status``, ``logs`` and ``events``: what a running orchestrator knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sdk.module_runtime.commands.admin_client import STACK, ask, follow
from sdk.module_runtime.commands.log_lines import readable

if TYPE_CHECKING:
    from pathlib import Path

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(name="ps", help="Show the modules of a running stack.")
@STACK
@_JSON
def ps(stack: Path, as_json: bool) -> None:
    modules = ask(stack, "GET", "/v1/modules")
    if as_json:
        click.echo(json.dumps(modules, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("module", "kind", "state", "restarts", "pid", "up", "channels", "listens", box=None, pad_edge=False)
    for each in modules:
        table.add_row(
            each["name"],
            each["kind"],
            each["state"],
            str(each["restarts"]),
            str(each["pid"] or "-"),
            _age(each["seconds"]),
            " ".join(each["channels"]) or "-",
            each["listen"] or "-",
        )
    Console().print(table)


@click.command(name="status", help="Show where a running stack serves, and what.")
@STACK
@_JSON
def status(stack: Path, as_json: bool) -> None:
    found = ask(stack, "GET", "/v1/status")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"gateway   {found['gateway'] or '-'}")
    click.echo(f"services  {' '.join(found['services']) or '-'}{' secrets' if found['secrets'] else ''}")
    for each in found["providers"]:
        click.echo(f"provider  {each['name']} at {each['address']} by {each['module_id']}")
    for name, health in found["registered"].items():
        click.echo(f"external  {name} {health}")
    for name, state in found["modules"].items():
        click.echo(f"module    {name} {state}")


@click.command(name="logs", help="Show what MODULE has written.")
@STACK
@click.argument("module")
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=100, show_default=True, help="How many at most.")
@click.option("-f", "--follow", "goes_on", is_flag=True, help="Go on as more comes.")
@click.option("--level", type=click.Choice(["debug", "info", "warning", "error"]), default="debug", help="At least.")
@_JSON
def logs(stack: Path, module: str, lines: int, goes_on: bool, level: str, as_json: bool) -> None:
    def show(line: bytes) -> None:
        if as_json:
            click.echo(line.rstrip(b"\n"))
            return
        each = json.loads(line)
        click.echo(f"{each['at'][:23]} {each['level']:7} {readable(each['line'])}")

    follow(stack, f"/v1/modules/{module}/logs", show, lines=lines, level=level, follow=1 if goes_on else None)


@click.command(name="events", help="Show what has happened, the newest last.")
@STACK
@click.option("--module", help="Only of this module.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", type=int, help="Older than the event with this number.")
@_JSON
def events(stack: Path, module: str | None, limit: int, before: int | None, as_json: bool) -> None:
    found: list[dict[str, Any]] = ask(stack, "GET", "/v1/events", module=module, limit=limit, below=before)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for each in reversed(found):
        detail = " ".join(f"{name}={_text(value)}" for name, value in each["detail"].items() if name != "endpoints")
        click.echo(f"{each['id']:6} {each['at'][:19]} {each['module'] or '-':16} {each['kind']:20} {detail}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
