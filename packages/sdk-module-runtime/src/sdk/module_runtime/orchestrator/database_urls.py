"""Where modules find their databases, for programs that want a URL: lent by the orchestrator, or direct."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.module_runtime.data.database.urls import lent_url, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sdk.module_runtime.orchestrator.stack import Module, Stack


def with_database_urls(stack: Stack, environ: Mapping[str, str]) -> Stack:
    """The stack whose modules are told the URLs. ``ConfigurationError`` if a password is not there."""
    modules = {
        name: module.model_copy(update={"environment": {**module.environment, **dict(_urls(module, environ))}})
        for name, module in stack.modules.items()
    }
    return stack.model_copy(update={"modules": modules})


def _urls(module: Module, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, scope in module.databases.items():
        if scope.url_environment is None:
            continue
        if scope.access == "proxied":
            yield scope.url_environment, lent_url(scope, name)
        else:
            password = scope.password_source(environ, {})
            placed = scope.placed(module.directory)
            yield scope.url_environment, url_of(placed, None if password is None else password())
