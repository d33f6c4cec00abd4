"""How many WebSockets and event streams there may be: of one module, and of one client."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sdk.module_runtime.errors import RuntimeModuleError

if TYPE_CHECKING:
    from collections.abc import Iterator


class TooMany(RuntimeModuleError):
    """``of_client``: that client has as many as it may have; else the module has."""

    code = "ERR_TOO_MANY_STREAMS"

    def __init__(self, description: str, *, of_client: bool) -> None:
        self.of_client = of_client
        super().__init__(description)


class Lasting:
    def __init__(self, of_module: int, of_client: int) -> None:
        self._most_of_module, self._most_of_client = of_module, of_client
        self.of_module: Counter[str] = Counter()
        self._of_client: Counter[str] = Counter()

    @contextmanager
    def counted(self, module_id: str, client: str) -> Iterator[None]:
        """``TooMany``."""
        if self._of_client[client] >= self._most_of_client:
            raise TooMany(f"one client may have {self._most_of_client} WebSockets and event streams", of_client=True)
        if self.of_module[module_id] >= self._most_of_module:
            raise TooMany(f"{module_id} has enough WebSockets and event streams", of_client=False)
        self.of_module[module_id] += 1
        self._of_client[client] += 1
        try:
            yield
        finally:
            self.of_module[module_id] -= 1
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]
