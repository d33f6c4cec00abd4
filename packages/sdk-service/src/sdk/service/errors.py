"""What the service layer adds to the family of ``sdk.core.errors``.

StorageError
├─ ConstraintViolated        a unique, foreign key, not-null or check constraint said no
├─ InvalidValue (ValueError) a value the column type refuses
└─ StorageUnavailable
   └─ CommitUnknown          the connection broke during COMMIT: it may or may not have been applied
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConstraintViolated(StorageError):
    """``kind`` is ``unique``, ``foreign key``, ``not null`` or ``check``.

    ``constraint``, ``table`` and ``columns`` are what the database names; SQLite names columns for ``unique`` and
    ``not null`` and nothing at all for ``foreign key``.
    """

    code = "ERR_CONSTRAINT"

    def __init__(
        self,
        kind: str,
        *,
        constraint: str | None = None,
        table: str | None = None,
        columns: Sequence[str] = (),
        detail: str = "",
    ) -> None:
        self.kind, self.constraint, self.table, self.columns, self.detail = (
            kind,
            constraint,
            table,
            tuple(columns),
            detail,
        )
        super().__init__(kind, constraint, table, self.columns)

    def __str__(self) -> str:
        where = ".".join(part for part in (self.table, ", ".join(self.columns)) if part)
        named = " ".join(part for part in (self.constraint or "", f"on {where}" if where else "") if part)
        return f"{self.kind} constraint{' ' + named if named else ''} violated" + (
            f": {self.detail}" if self.detail else ""
        )


class InvalidValue(StorageError, ValueError):
    """A Python value that its column cannot hold without loss."""

    code = "ERR_INVALID_VALUE"


class CommitUnknown(StorageUnavailable):
    """The unit may have been committed. Look for its effects, by an idempotent name, before it is run again."""

    code = "ERR_COMMIT_UNKNOWN"
