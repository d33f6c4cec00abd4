"""Errors of a module's database; their text begins with the reference's words (spec 3.1).

DatabaseError
├─ DatabaseConfigurationError    a configuration that cannot work
├─ DatabaseConnectionError       the server is not there, or went away       (retryable)
├─ PoolExhausted                 no connection became free in time           (retryable)
├─ QueryError                    a statement, its parameters or a column that cannot serve
│  ├─ NotPermitted               a statement beyond the rights of the scope
│  └─ LimitExceeded              too many rows, too many bytes, or too long
└─ TransactionError              the transaction is over, or was undone
   └─ CommitUnknown              the connection broke during COMMIT: it may or may not have been applied
"""

from __future__ import annotations

from typing import ClassVar, Final

from sdk.module_runtime.errors import RuntimeModuleError


class DatabaseError(RuntimeModuleError):
    code = "ERR_DATABASE"
    kind: ClassVar[str] = "database error"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class DatabaseConfigurationError(DatabaseError):
    code = "ERR_DATABASE_CONFIGURATION"
    kind = "configuration error"


class DatabaseConnectionError(DatabaseError):
    code = "ERR_DATABASE_CONNECTION"
    kind = "connection error"
    retryable = True


class PoolExhausted(DatabaseError):
    code = "ERR_DATABASE_POOL"
    kind = "pool error"
    retryable = True


class QueryError(DatabaseError):
    code = "ERR_DATABASE_QUERY"
    kind = "query error"


class NotPermitted(QueryError):
    code = "ERR_DATABASE_NOT_PERMITTED"
    kind = "query error: not permitted"


class LimitExceeded(QueryError):
    """A write whose returned rows were too many has been done all the same, if it stood alone."""

    code = "ERR_DATABASE_LIMIT"
    kind = "query error: over the limit"


class TransactionError(DatabaseError):
    code = "ERR_DATABASE_TRANSACTION"
    kind = "transaction error"


class CommitUnknown(TransactionError):
    """Look for the transaction's effects before it is run again."""

    code = "ERR_DATABASE_COMMIT_UNKNOWN"
    kind = "transaction error: commit unknown"


_KINDS: Final = sorted(
    (
        DatabaseConfigurationError, DatabaseConnectionError, PoolExhausted, QueryError, NotPermitted, LimitExceeded,
        TransactionError, CommitUnknown,
    ),
    key=lambda each: len(each.kind),
    reverse=True,
)  # fmt: skip


def error_of(text: str) -> DatabaseError:
    """The error that another process wrote as text; ``DatabaseError`` for words that are none of ours."""
    for each in _KINDS:
        if text.startswith(f"{each.kind}: "):
            return each(text.removeprefix(f"{each.kind}: "))
    return DatabaseError(text)
