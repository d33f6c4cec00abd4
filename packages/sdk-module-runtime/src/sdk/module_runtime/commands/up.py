"""``sdk runtime up STACK``"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sdk.module_runtime.orchestrator.stack import Stack


@click.command(name="up", help="Run the modules of STACK until stopped (SIGTERM or Ctrl-C); logs go to stderr.")
@click.argument("stack", type=click.Path(path_type=Path), default="stack.toml")
def command(stack: Path) -> None:
    from sdk.module_runtime.orchestrator.stack import read_stack
    from sdk.module_runtime.secrets.redaction import install_secret_redaction_filter, redact_secrets
    from sdk.service.logging import configure_logging

    configure_logging(redact=redact_secrets)
    install_secret_redaction_filter()
    asyncio.run(_up(read_stack(stack)))


async def _up(stack: Stack) -> None:
    from sdk.module_runtime.orchestrator.runtime import run
    from sdk.service.http_app.server import stop_signals

    with stop_signals() as stop:
        await run(stack, stop)
