"""The command group: names and descriptions come from installed metadata, code from the first use."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, NoReturn

import click

from sdk.core.errors import PluginConflict, PluginError, SdkError
from sdk.core.plugins import PluginRegistry

_OWN = {
    "version": "Every installed component with its version.",
    "plugins": "What is installed in every plugin group; conflicts and what cannot be loaded.",
    "db": "Create, upgrade and inspect database tables.",
}


class PluginGroup(click.Group):
    """``sdk --help`` imports no component; a broken one fails alone, when it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._registry: PluginRegistry[click.Command] = PluginRegistry("sdk.commands")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._registry)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._registry:
            return None
        command = self._registry.load(cmd_name)
        if not isinstance(command, click.Command):
            offered = " and ".join(self._registry.sources(cmd_name))
            raise PluginError(
                f"the command {cmd_name!r} of {offered} is a {type(command).__name__}, not a click command"
            )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._describe(name)) for name in self._registry])

    def _describe(self, name: str) -> str:
        sources = self._registry.sources(name)
        if len(sources) > 1:
            return str(PluginConflict(self._registry.group, name, sources))
        distribution = sources[0].partition(" ")[0]
        if distribution == "sdk-service" and name in _OWN:
            return _OWN[name]
        try:
            summary = metadata(distribution)["Summary"]
        except (PackageNotFoundError, KeyError):
            summary = ""
        return f"{summary or 'A command'} ({sources[0]})."


@click.group(
    name="sdk",
    cls=PluginGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Wallets, headers and background work on BSV. Each component adds its own commands.",
)
def sdk() -> None:
    """Nothing to do before a sub-command."""


def run(args: list[str] | None = None) -> NoReturn:
    """Run and exit: 0 done, 1 an error that one line explains (``SDK_DEBUG=1``: its traceback), 2 wrong usage."""
    try:
        status = sdk.main(args=args, prog_name="sdk", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.Abort:
        click.echo("sdk: stopped", err=True)
        raise SystemExit(130) from None
    except SdkError as error:
        if os.environ.get("SDK_DEBUG"):
            raise
        click.echo(f"sdk: {' '.join(str(error).split())}", err=True)
        raise SystemExit(1) from None
    raise SystemExit(status if isinstance(status, int) else 0)
