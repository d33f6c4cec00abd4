"""Which service connection is whose. An id is worth nothing to another module, and cannot be guessed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from sdk.module_runtime.errors import RuntimeModuleError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    module_id: str
    thing: T


class Connections(Generic[T]):
    def __init__(self, refused: type[RuntimeModuleError]) -> None:
        self._refused = refused
        self._held: dict[str, _Held[T]] = {}

    def add(self, module_id: str, thing: T, most: int) -> str:
        """Its id. Raises ``refused`` if the module has ``most`` already."""
        if len(self.of(module_id)) >= most:
            raise self._refused(f"this module has {most} connections of this service, and may have no more")
        connection_id = secrets.token_urlsafe(16)
        self._held[connection_id] = _Held(module_id, thing)
        return connection_id

    def get(self, module_id: str, connection_id: str) -> T:
        held = self._held.get(connection_id)
        if held is None or held.module_id != module_id:
            raise self._refused("this module has no such connection; open one")
        return held.thing

    def remove(self, connection_id: str) -> None:
        """Two who close it at once are one too many, and no harm."""
        self._held.pop(connection_id, None)

    def of(self, module_id: str) -> dict[str, T]:
        return {key: held.thing for key, held in self._held.items() if held.module_id == module_id}

    def all(self) -> dict[str, T]:
        return {key: held.thing for key, held in self._held.items()}
