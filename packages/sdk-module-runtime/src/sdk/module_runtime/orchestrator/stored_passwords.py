"""Passwords of databases and caches that are secrets of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.core.errors import StorageError
from sdk.module_runtime.secrets.errors import SecretError, SecretNotFound
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdk.module_runtime.orchestrator.secrets.store import SecretStore

_log = get_logger(__name__)
_ACTOR: Final = "orchestrator"


class StoredPasswords:
    """``values`` by name, as they were at the last ``refresh``; one that is deleted is no longer there."""

    def __init__(self, store: SecretStore, names: Iterable[str]) -> None:
        self.values: dict[str, str] = {}
        self._store, self._names = store, sorted(names)
        self._versions: dict[str, int | None] = {}

    async def refresh(self) -> None:
        """Reads those that have changed. What cannot be read now is kept as it is known."""
        for name in self._names:
            try:
                version = await self._store.version(name)
                if version != self._versions.get(name):
                    self.values[name] = await self._store.read(name, actor=_ACTOR)
                    self._versions[name] = version
            except SecretNotFound:
                self.values.pop(name, None)
                self._versions.pop(name, None)
            except (SecretError, StorageError) as error:
                _log.warning("password_not_read", secret_name=name, reason=error.code)
