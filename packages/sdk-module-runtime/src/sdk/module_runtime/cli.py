"""``sdk runtime``: modules and their orchestrator. Sub-commands stand in ``sdk.module_runtime.commands``."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "build-info": "sdk.module_runtime.commands.build_info:command",
    "completion": "sdk.module_runtime.commands.completion:command",
    "endpoints": "sdk.module_runtime.commands.endpoints:command",
    "events": "sdk.module_runtime.commands.inspect:events",
    "logs": "sdk.module_runtime.commands.inspect:logs",
    "models": "sdk.module_runtime.commands.models:command",
    "new": "sdk.module_runtime.commands.new:command",
    "ps": "sdk.module_runtime.commands.inspect:ps",
    "replace": "sdk.module_runtime.commands.control:replace",
    "restart": "sdk.module_runtime.commands.control:restart",
    "secrets": "sdk.module_runtime.commands.secrets:command",
    "start": "sdk.module_runtime.commands.control:start",
    "status": "sdk.module_runtime.commands.inspect:status",
    "stop": "sdk.module_runtime.commands.control:stop",
    "up": "sdk.module_runtime.commands.up:command",
    "validate": "sdk.module_runtime.commands.validate:command",
}
"""Name -> ``module:attribute``, imported when it is called."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        found = getattr(import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found


@click.group(name="runtime", cls=_LazyGroup, help="Run modules under an orchestrator.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""
