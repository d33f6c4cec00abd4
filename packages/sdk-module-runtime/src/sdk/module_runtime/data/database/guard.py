"""What a lent SQLite database refuses to do: SQLite has no users, so this process has to say no for it.

PostgreSQL and MariaDB hold what their own users may do; there it is checked only that the user is not too mighty.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.database.errors import DatabaseConfigurationError

if TYPE_CHECKING:
    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.data.database.direct import Database

_READ_PRAGMAS: Final = frozenset({
    "application_id", "collation_list", "compile_options", "data_version", "encoding", "foreign_key_check",
    "foreign_key_list", "foreign_keys", "freelist_count", "function_list", "index_info", "index_list", "index_xinfo",
    "integrity_check", "journal_mode", "page_count", "page_size", "quick_check", "read_uncommitted", "schema_version",
    "table_info", "table_list", "table_xinfo", "user_version",
})  # fmt: skip
"""Those with an argument here take the name of a table or index, or a number that the program itself keeps."""
_NAMING: Final = frozenset({
    "foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo", "integrity_check",
    "quick_check", "table_info", "table_list", "table_xinfo", "user_version", "application_id",
})  # fmt: skip
_DEFER: Final = "defer_foreign_keys"
_OWN: Final = frozenset({"foreign_keys", "query_only", "read_uncommitted"})
"""What the holder of a session may switch, as nobody else has its connection: whether foreign keys are looked at, as
migrations want it, whether anything may be written, and what means nothing without a shared cache."""
_SWITCH: Final = frozenset({"on", "off", "0", "1"})
_SQLITE_LENGTH: Final = 1_000_000_000


def guard_sqlite(dbapi: sqlite3.Connection, largest: int) -> None:
    """No other file is opened or written, no setting changed, and no value grows over ``largest`` bytes."""
    dbapi.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(largest, _SQLITE_LENGTH))
    dbapi.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    dbapi.set_authorizer(_authorize)


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        allowed = name == _DEFER or (name in _READ_PRAGMAS and (second is None or name in _NAMING))
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in ("load_extension", "fts3_tokenizer"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def guard_session(dbapi: sqlite3.Connection) -> None:
    """For a connection that ``guard_sqlite`` has, and that one session will keep for itself."""
    dbapi.set_authorizer(None)
    dbapi.execute("PRAGMA busy_timeout = 0").close()  # sessions do their own waiting
    dbapi.set_authorizer(_authorize_session)


def _authorize_session(action: int, first: str | None, second: str | None, *others: Any) -> int:
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _OWN and (second or "").lower() in _SWITCH:
        return sqlite3.SQLITE_OK
    return _authorize(action, first, second, *others)


async def check_rights(database: Database) -> None:
    """``DatabaseConfigurationError`` if the server's user could reach beyond its own database or role."""
    config = database.config
    if config.db_type == "postgres":
        await _check_postgres(database, config)
    elif config.db_type == "mysql":
        await _check_mysql(database, config)


_POSTGRES: Final = """
SELECT concat_ws(', ',
  CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
  CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
  CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
  (SELECT string_agg('membership in ' || granted.rolname, ', ')
   FROM pg_roles granted WHERE granted.oid <> role.oid AND granted.rolname <> 'pg_database_owner'
   AND pg_has_role(role.oid, granted.oid, 'MEMBER'))
) AS rights
FROM pg_roles role WHERE rolname = session_user
"""


async def _check_postgres(database: Database, config: DatabaseConfig) -> None:
    row = await database.query_one(_POSTGRES)
    rights = None if row is None else row.try_get_string("rights")
    if rights:
        raise DatabaseConfigurationError(
            f"the role {config.username!r} has more rights than a module's should: {rights}; "
            "give the module a role of its own, or set trusted = true"
        )


async def _check_mysql(database: Database, config: DatabaseConfig) -> None:
    for row in await database.query("SHOW GRANTS FOR CURRENT_USER"):
        [grant] = row.values.values()
        found = re.match(r"GRANT (.+?) ON (\*|`(?:[^`]|``)*`)\.(?:\*|`(?:[^`]|``)*`) TO ", str(grant))
        if found is not None:
            place = found[2].strip("`").replace("\\_", "_").replace("\\%", "%")
            if place == config.database or (found[2] == "*" and found[1] == "USAGE"):
                continue
        raise DatabaseConfigurationError(
            f"the user {config.username!r} has rights beyond the database {config.database!r}; "
            "give the module a user of its own, or set trusted = true"
        )
