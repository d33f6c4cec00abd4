"""From what an operator writes to a source, through the plugins of ``sdk.chaintracks.sources``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sdk.core.errors import ConfigurationError, PluginNotFound
from sdk.core.plugins import PluginRegistry

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.chaintracks.sources.ports import HeaderSource, RunSource
    from sdk.core.chain import ChainParameters

GROUP: Final = "sdk.chaintracks.sources"
DEFAULTS: Final = {
    "main": ("cdn", "whatsonchain", "p2p"),
    "test": ("cdn", "whatsonchain", "p2p"),
    "stn": ("whatsonchain", "p2p"),
}
"""Sources of the public networks, when none is named."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What every source may need. ``pause`` is the seconds between two requests, None for the source's own; ``cache`` a
    folder for downloads, None for none."""

    parameters: ChainParameters
    api_key: str | None = None
    pause: float | None = None
    cache: Path | None = None


class SourceType(Protocol):
    """What a plugin offers. ``open`` raises ``ConfigurationError`` for a ``location`` it cannot use."""

    def open(self, location: str, context: SourceContext) -> HeaderSource | RunSource:
        """A source at ``location``, which is empty when only the plugin was named."""
        ...


def open_sources(written: tuple[str, ...], context: SourceContext) -> list[HeaderSource | RunSource]:
    """A source for each of ``written``: ``plugin``, ``plugin:location``, or a URL of WhatsOnChain's wire."""
    chosen = written or DEFAULTS.get(context.parameters.name, ())
    if not chosen:
        raise ConfigurationError(f"no public source serves {context.parameters.name}: name one with --source")
    registry: PluginRegistry[SourceType] = PluginRegistry(GROUP)
    return [_open(each, registry, context) for each in chosen]


def _open(written: str, registry: PluginRegistry[SourceType], context: SourceContext) -> HeaderSource | RunSource:
    if written.startswith(("http://", "https://")):
        written = f"whatsonchain:{written}"
    name, _, location = written.partition(":")
    try:
        plugin = registry.load(name)
    except PluginNotFound as error:
        raise ConfigurationError(
            f"--source {written}: no kind of source is named {name!r} (there are {', '.join(error.available)})"
        ) from None
    return plugin.open(location, context)
