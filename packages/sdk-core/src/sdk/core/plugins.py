"""Entry points: listed without an import, loaded on first use (design.md §2)."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from sdk.core.errors import PluginConflict, PluginLoadError, PluginNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

T = TypeVar("T")

GROUPS = (
    "sdk.commands",
    "sdk.migrations",
    "sdk.wallet.background",
    "sdk.wallet.chain_trackers",
    "sdk.wallet.permission_modules",
    "sdk.wallet.services",
    "sdk.wallet.storages",
    "sdk.chaintracks.sources",
    "sdk.chaintracks.stores",
    "sdk.chaintracks.transactions",
    "sdk.monitor.backends",
    "sdk.monitor.engines",
    "sdk.monitor.tasks",
    "sdk.module_runtime.secret_providers",
    "sdk.module_runtime.caches",
    "sdk.module_runtime.databases",
    "sdk.module_runtime.modules",
)


class PluginRegistry(Generic[T]):
    """One entry-point group. Names come from metadata; code is imported by ``load``.

    Raises ``PluginNotFound``, ``PluginConflict`` (two distributions offer one name) or ``PluginLoadError``
    (from ``load`` of that one name only; the others still work).
    """

    __slots__ = ("_loaded", "_points", "group")

    def __init__(self, group: str) -> None:
        self.group = group
        self._points: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[str, T] = {}

    def _found(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            points: dict[str, list[EntryPoint]] = {}
            for point in entry_points(group=self.group):
                offered = points.setdefault(point.name, [])
                if not any(_source(point) == _source(other) for other in offered):
                    offered.append(point)
            self._points = points
        return self._points

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found()))

    def sources(self, name: str) -> tuple[str, ...]:
        """The distributions that offer ``name``, as ``name version``."""
        return tuple(_source(point) for point in self._found().get(name, ()))

    def load(self, name: str) -> T:
        if name not in self._loaded:
            points = self._found().get(name)
            if not points:
                raise PluginNotFound(self.group, name, tuple(self))
            if len(points) > 1:
                raise PluginConflict(self.group, name, self.sources(name))
            try:
                self._loaded[name] = cast("T", points[0].load())
            except Exception as exc:
                raise PluginLoadError(self.group, name, _source(points[0])) from exc
        return self._loaded[name]


def _source(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
