"""What a module does with a database, however it is reached."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.data.database.row import Row


class Statements(Protocol):
    async def execute(self, query: str, params: Sequence[Any] = ()) -> int:
        """How many rows it inserted, deleted or matched for an update."""
        ...

    async def query(self, query: str, params: Sequence[Any] = ()) -> list[Row]: ...

    async def query_one(self, query: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row, if there is any."""
        ...


class ModuleTransaction(Statements, AbstractAsyncContextManager[Any], Protocol):
    """Leaving ``async with`` without a commit rolls it back; so does any statement that fails."""

    async def commit(self) -> None:
        """``CommitUnknown`` if the connection broke meanwhile; never tried twice."""
        ...

    async def rollback(self) -> None: ...

    async def abandon(self) -> None:
        """Rolls back if it is still open."""
        ...


class ModuleDatabase(Statements, Protocol):
    """Statements that commit by themselves, and transactions. Errors are ``DatabaseError``."""

    config: DatabaseConfig

    async def begin_transaction(self) -> ModuleTransaction: ...

    async def ping(self) -> None: ...

    async def close(self) -> None:
        """Rolls back open transactions. May be called again."""
        ...
