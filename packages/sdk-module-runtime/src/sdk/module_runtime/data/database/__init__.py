"""One small SQL interface over SQLite, PostgreSQL and MariaDB, with the reference's operations and row accessors.

::

    database = await open_database(DatabaseConfig(db_type="sqlite", database="notes.db"), context.link)
    await database.execute("INSERT INTO notes (text) VALUES (?)", ["hello"])
    async with await database.begin_transaction() as transaction:
        ...
        await transaction.commit()

Names are imported on first use, so that a module pays only for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sdk.module_runtime.data.database.choice import open_database
    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.data.database.direct import Database, Transaction
    from sdk.module_runtime.data.database.errors import (
        CommitUnknown,
        DatabaseConfigurationError,
        DatabaseConnectionError,
        DatabaseError,
        LimitExceeded,
        NotPermitted,
        PoolExhausted,
        QueryError,
        TransactionError,
    )
    from sdk.module_runtime.data.database.interface import ModuleDatabase, ModuleTransaction
    from sdk.module_runtime.data.database.limits import StatementLimits
    from sdk.module_runtime.data.database.row import Row
    from sdk.module_runtime.data.pool import PoolConfig

_WHERE: Final = {
    "CommitUnknown": "sdk.module_runtime.data.database.errors",
    "Database": "sdk.module_runtime.data.database.direct",
    "DatabaseConfig": "sdk.module_runtime.data.database.config",
    "DatabaseConfigurationError": "sdk.module_runtime.data.database.errors",
    "DatabaseConnectionError": "sdk.module_runtime.data.database.errors",
    "DatabaseError": "sdk.module_runtime.data.database.errors",
    "LimitExceeded": "sdk.module_runtime.data.database.errors",
    "ModuleDatabase": "sdk.module_runtime.data.database.interface",
    "ModuleTransaction": "sdk.module_runtime.data.database.interface",
    "NotPermitted": "sdk.module_runtime.data.database.errors",
    "PoolConfig": "sdk.module_runtime.data.pool",
    "PoolExhausted": "sdk.module_runtime.data.database.errors",
    "QueryError": "sdk.module_runtime.data.database.errors",
    "Row": "sdk.module_runtime.data.database.row",
    "StatementLimits": "sdk.module_runtime.data.database.limits",
    "Transaction": "sdk.module_runtime.data.database.direct",
    "TransactionError": "sdk.module_runtime.data.database.errors",
    "open_database": "sdk.module_runtime.data.database.choice",
}

__all__ = [
    "CommitUnknown",
    "Database",
    "DatabaseConfig",
    "DatabaseConfigurationError",
    "DatabaseConnectionError",
    "DatabaseError",
    "LimitExceeded",
    "ModuleDatabase",
    "ModuleTransaction",
    "NotPermitted",
    "PoolConfig",
    "PoolExhausted",
    "QueryError",
    "Row",
    "StatementLimits",
    "Transaction",
    "TransactionError",
    "open_database",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
