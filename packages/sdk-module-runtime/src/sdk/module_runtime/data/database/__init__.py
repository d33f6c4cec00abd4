"""One small SQL interface over SQLite, PostgreSQL and MariaDB, with the reference's operations and row accessors.

::

    database = await open_database(DatabaseConfig(db_type="sqlite", database="notes.db"))
    await database.execute("INSERT INTO notes (text) VALUES (?)", ["hello"])
    async with await database.begin_transaction() as transaction:
        ...
        await transaction.commit()
"""

from sdk.module_runtime.data.database.config import DatabaseConfig
from sdk.module_runtime.data.database.direct import Database, Transaction, open_database
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
from sdk.module_runtime.data.database.limits import StatementLimits
from sdk.module_runtime.data.database.row import Row
from sdk.module_runtime.data.pool import PoolConfig

__all__ = [
    "CommitUnknown",
    "Database",
    "DatabaseConfig",
    "DatabaseConfigurationError",
    "DatabaseConnectionError",
    "DatabaseError",
    "LimitExceeded",
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
