"""``sdk runtime endpoints MODULE:APP``"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from sdk.core.errors import ConfigurationError


@click.command(
    name="endpoints", help="What the application MODULE:APP (aiohttp, FastAPI, Starlette, Flask) routes. Imports it."
)
@click.argument("target")
def command(target: str) -> None:
    from sdk.module_runtime.tooling.routers import discover

    for endpoint in discover(_loaded(target)):
        click.echo(f"{','.join(endpoint.methods):<20} {endpoint.path}")


def _loaded(target: str) -> object:
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise ConfigurationError("name the application as module:attribute")
    sys.path.insert(0, "")
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{target} cannot be loaded: {error}") from error
    return found
