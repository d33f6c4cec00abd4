"""Secrets in environment variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from sdk.module_runtime.secrets.errors import SecretNotFound
from sdk.module_runtime.secrets.names import check_name
from sdk.module_runtime.secrets.provider import Fetched, SecretProvider
from sdk.module_runtime.secrets.typed import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping


class EnvironmentProvider(SecretProvider):
    """Reads the variable ``prefix + name``. Lists nothing without a prefix: not every variable is meant as a secret."""

    kind: ClassVar[str] = "env"

    def __init__(self, prefix: str = "", environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._prefix, self._environ = prefix, os.environ if environ is None else environ

    async def get(self, name: str) -> Fetched:
        value = self._environ.get(self._prefix + check_name(name))
        if value is None:
            raise SecretNotFound(name, f"the variable {self._prefix}{name} is not set")
        return Fetched(Secret(value))

    async def names(self) -> list[str]:
        if not self._prefix:
            return []
        return sorted(each.removeprefix(self._prefix) for each in self._environ if each.startswith(self._prefix))
