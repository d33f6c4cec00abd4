"""The background work that gets transactions sent, proven and repaired."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.monitor.monitor import Monitor
    from sdk.monitor.settings import MonitorSettings

__all__ = ["Monitor", "MonitorSettings"]

_HOMES = {"Monitor": "monitor", "MonitorSettings": "settings"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
