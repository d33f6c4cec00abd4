"""``sdk runtime``: modules and their orchestrator. Sub-commands stand in ``sdk.module_runtime.commands``."""

from __future__ import annotations

import click


@click.group(name="runtime", help="Run modules under an orchestrator.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""
