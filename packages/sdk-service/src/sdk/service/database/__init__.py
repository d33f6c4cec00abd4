"""One database, SQLite, PostgreSQL or MySQL/MariaDB, behind units of work (docs/database.md)."""

from sdk.service.database.database import Database
from sdk.service.database.prepared import Prepared
from sdk.service.database.row import Row
from sdk.service.database.types import NAMING_CONVENTION, Key, LongBinary, LongText, Timestamp
from sdk.service.database.unit import Unit
from sdk.service.database.upserts import insert_or_ignore, upsert

__all__ = [
    "NAMING_CONVENTION",
    "Database",
    "Key",
    "LongBinary",
    "LongText",
    "Prepared",
    "Row",
    "Timestamp",
    "Unit",
    "insert_or_ignore",
    "upsert",
]
