"""What a source of secrets is, and what it tells when they change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sdk.module_runtime.secrets.errors import SecretUnsupported
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.module_runtime.secrets.typed import Secret

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """``rotation_id`` if the source waits for word that this value is in use."""

    secret: Secret[str]
    rotation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Names that are new, have another value, or are gone."""

    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    rotation_id: str | None = None

    @property
    def names(self) -> frozenset[str]:
        return self.added | self.changed | self.removed

    def __bool__(self) -> bool:
        return bool(self.names)


class SecretProvider(ABC):
    """Every method may raise ``SecretError``; what a source cannot do is ``SecretUnsupported``."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        self._listeners: list[Callable[[Change], Awaitable[None]]] = []

    @abstractmethod
    async def get(self, name: str) -> Fetched: ...

    async def set(self, name: str, value: str) -> None:
        raise SecretUnsupported(name, f"the provider {self.kind!r} cannot set secrets")

    async def delete(self, name: str) -> None:
        raise SecretUnsupported(name, f"the provider {self.kind!r} cannot delete secrets")

    async def names(self) -> list[str]:
        """In order."""
        raise SecretUnsupported("*", f"the provider {self.kind!r} cannot list secrets")

    async def acknowledge(  # noqa: B027 - nothing is the usual case
        self, rotation_id: str, *, success: bool, message: str | None = None
    ) -> None:
        """The new value is in use, or could not be taken. Most sources do not wait for that."""

    async def close(self) -> None:  # noqa: B027 - nothing is the usual case
        """Stop watching and give back what is held."""

    def start(self) -> None:  # noqa: B027 - nothing is the usual case
        """Begin to look for changes, within a running loop."""

    def on_change(self, listener: Callable[[Change], Awaitable[None]]) -> Callable[[], None]:
        """``listener`` is awaited after each change that the source sees; the result ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def _tell(self, change: Change) -> None:
        if not change:
            return
        for listener in list(self._listeners):
            try:
                await listener(change)
            except Exception as error:  # noqa: BLE001 - one listener's fault is not another's
                _log.error("secret_listener_failed", provider=self.kind, error=type(error).__name__)
