"""Driver errors in our words: one table for each dialect."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError

from sdk.core.errors import StorageBusy, StorageError, StorageUnavailable
from sdk.service.errors import ConstraintViolated, InvalidValue


def original(error: BaseException) -> BaseException:
    """What the driver raised, below SQLAlchemy's wrapping."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _python_error(error: BaseException) -> StorageError | None:
    if isinstance(error, OverflowError):
        return InvalidValue(f"a number does not fit the database's 64 bits: {error}")
    if isinstance(error, UnicodeError):
        return InvalidValue(f"text the database cannot hold: {error}")
    return None


# SQLite: extended result codes, by prefix

_SQLITE = {
    "SQLITE_BUSY": (StorageBusy, "{where} is locked by another process; stop it, or try again"),
    "SQLITE_LOCKED": (StorageBusy, "{where} is locked by another connection; try again"),
    "SQLITE_READONLY": (
        StorageUnavailable,
        "{where} is read-only; change the permissions of the file and its directory",
    ),
    "SQLITE_FULL": (StorageUnavailable, "no space is left for {where}; free some, then try again"),
    "SQLITE_IOERR": (StorageUnavailable, "the disk under {where} fails ({detail}); check the disk and its free space"),
    "SQLITE_CORRUPT": (StorageUnavailable, "{where} is damaged; stop all programs that use it and restore a backup"),
    "SQLITE_NOTADB": (StorageUnavailable, "{where} is not an SQLite database; name another file"),
    "SQLITE_CANTOPEN": (
        StorageUnavailable,
        "{where} cannot be opened; check that it exists and may be read and written",
    ),
    "SQLITE_PERM": (StorageUnavailable, "access to {where} is refused; change its permissions"),
    "SQLITE_AUTH": (StorageUnavailable, "access to {where} is refused; change its permissions"),
    "SQLITE_PROTOCOL": (StorageBusy, "{where} is contended; try again"),
    "SQLITE_NOMEM": (StorageUnavailable, "no memory is left to work on {where}"),
    "SQLITE_TOOBIG": (InvalidValue, "a value is larger than SQLite can hold: {detail}"),
    "SDK_SESSION_LOST": (StorageUnavailable, "{where} cannot be reached: {detail}"),
    "SQLITE_MISMATCH": (InvalidValue, "a value has the wrong type: {detail}"),
}

_SQLITE_CONSTRAINTS = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign key",
    "SQLITE_CONSTRAINT_NOTNULL": "not null",
    "SQLITE_CONSTRAINT_CHECK": "check",
}


def translate_sqlite(error: BaseException, where: str) -> StorageError | None:
    error = original(error)
    if isinstance(error, StorageError):
        return error
    if not isinstance(error, sqlite3.Error):
        return _python_error(error)
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_CONSTRAINT"):
        return _sqlite_constraint(name, str(error))
    for prefix, (kind, text) in _SQLITE.items():
        if name.startswith(prefix):
            return kind(text.format(where=where, detail=error))
    if "no such table" in str(error):
        return StorageError(f"{where}: {error}; run `sdk db upgrade`")
    return StorageError(f"{where}: {error}")


def _sqlite_constraint(name: str, message: str) -> ConstraintViolated:
    kind = _SQLITE_CONSTRAINTS.get(name, "check")
    _, _, subject = message.partition(": ")
    if kind == "check":
        return ConstraintViolated(kind, constraint=subject or None)
    columns = [column.partition(".") for column in subject.split(", ") if "." in column]
    return ConstraintViolated(
        kind, table=columns[0][0] if columns else None, columns=[column for _, _, column in columns]
    )


# PostgreSQL: SQLSTATE, by prefix, longest first

_POSTGRESQL = {
    "40001": (StorageBusy, "lost a race with another transaction of {where}; try again"),
    "40P01": (StorageBusy, "a deadlock in {where} was broken; try again"),
    "55P03": (StorageBusy, "a lock in {where} was not free in time; try again"),
    "57014": (StorageBusy, "a statement on {where} took too long and was stopped; try again"),
    "25006": (StorageUnavailable, "{where} is read-only here; connect to the primary server"),
    "53100": (StorageUnavailable, "no space is left for {where}; free some, then try again"),
    "53300": (StorageUnavailable, "{where} accepts no more connections; raise max_connections or use fewer workers"),
    "53": (StorageUnavailable, "{where} is out of resources ({detail})"),
    "57P": (StorageUnavailable, "{where} is shutting down or not ready ({detail}); try again later"),
    "58": (StorageUnavailable, "{where} has a system error ({detail}); see its log"),
    "08": (StorageUnavailable, "the connection to {where} failed ({detail}); check that it runs and is reachable"),
    "28": (StorageUnavailable, "{where} refuses this user ({detail}); check user and password"),
    "3D000": (StorageUnavailable, "{where} does not exist on that server; create it"),
    "XX001": (StorageUnavailable, "{where} is damaged ({detail}); restore a backup"),
    "XX002": (StorageUnavailable, "{where} is damaged ({detail}); restore a backup"),
    "42501": (StorageUnavailable, "this user may not do that in {where} ({detail}); grant it"),
    "42P01": (StorageError, "{where}: {detail}; run `sdk db upgrade`"),
    "22": (InvalidValue, "a value does not fit its column: {detail}"),
}

_POSTGRESQL_REFUSALS = (  # a connection that is refused has no SQLSTATE in psycopg
    (
        re.compile(r"password authentication failed|no password supplied|role .* does not exist|no pg_hba.conf"),
        "refuses this user; check user and password",
    ),
    (re.compile(r"database .* does not exist"), "does not exist on that server; create it"),
    (
        re.compile(r"too many clients|remaining connection slots"),
        "accepts no more connections; raise max_connections or use fewer workers",
    ),
)

_POSTGRESQL_CONSTRAINTS = {
    "23505": "unique",
    "23503": "foreign key",
    "23502": "not null",
    "23514": "check",
    "23P01": "check",
}


def translate_postgresql(error: BaseException, where: str) -> StorageError | None:
    import psycopg

    error = original(error)
    if isinstance(error, StorageError):
        return error
    if not isinstance(error, psycopg.Error):
        return _python_error(error)
    state = error.sqlstate or ""
    detail = _first_line(str(error))
    if state in _POSTGRESQL_CONSTRAINTS:
        return _postgresql_constraint(_POSTGRESQL_CONSTRAINTS[state], error)
    for prefix, (kind, text) in _POSTGRESQL.items():
        if state.startswith(prefix):
            return kind(text.format(where=where, detail=detail))
    if not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        for pattern, remedy in _POSTGRESQL_REFUSALS:
            if pattern.search(detail):
                return StorageUnavailable(f"{where} {remedy}")
        return StorageUnavailable(
            f"{where} cannot be reached ({detail}); check that it runs and that the address is right"
        )
    if isinstance(error, psycopg.DataError):
        return InvalidValue(f"a value does not fit its column: {detail}")
    return StorageError(f"{where}: {detail}")


def _postgresql_constraint(kind: str, error: Any) -> ConstraintViolated:
    named = re.match(r"Key \(([^)]*)\)", error.diag.message_detail or "")
    columns = [name.strip(' "') for name in named[1].split(",")] if named else []
    if error.diag.column_name:
        columns = [error.diag.column_name]
    return ConstraintViolated(kind, constraint=error.diag.constraint_name, table=error.diag.table_name, columns=columns)


# MySQL and MariaDB: error numbers

_MYSQL: dict[int, tuple[type[StorageError], str]] = {
    **dict.fromkeys((1213, 1020, 3572), (StorageBusy, "lost a race with another transaction of {where}; try again")),
    **dict.fromkeys((1205, 3024), (StorageBusy, "a lock in {where} was not free in time; try again")),
    **dict.fromkeys((1290, 1792, 1836), (StorageUnavailable, "{where} is read-only; connect to the primary server")),
    **dict.fromkeys(
        (1021, 1114, 1041), (StorageUnavailable, "no space is left for {where}; free some, then try again")
    ),
    **dict.fromkeys((1040, 1203), (StorageUnavailable, "{where} accepts no more connections; use fewer workers")),
    **dict.fromkeys(
        (1044, 1045, 1698, 1142), (StorageUnavailable, "{where} refuses this user ({detail}); check its rights")
    ),
    1049: (StorageUnavailable, "{where} does not exist on that server; create it"),
    **dict.fromkeys(
        (2002, 2003, 2005, 2006, 2013, 2055, 1053, 1077, 1927, 4031, 0),
        (StorageUnavailable, "{where} cannot be reached ({detail}); check that it runs and that the address is right"),
    ),
    **dict.fromkeys((1034, 1194, 1195, 1712), (StorageUnavailable, "{where} is damaged ({detail}); restore a backup")),
    1146: (StorageError, "{where}: {detail}; run `sdk db upgrade`"),
    **dict.fromkeys((1264, 1265, 1292, 1366, 1406, 1153), (InvalidValue, "a value does not fit its column: {detail}")),
}

_MYSQL_CONSTRAINTS = {
    **dict.fromkeys((1022, 1062, 1586), "unique"),
    **dict.fromkeys((1216, 1217, 1451, 1452), "foreign key"),
    **dict.fromkeys((1048, 1364), "not null"),
    **dict.fromkeys((3819, 4025), "check"),
}

_MYSQL_NAMES = {
    "unique": re.compile(r"for key '(?:(?P<table>[^'.]+)\.)?(?P<constraint>[^']+)'"),
    "foreign key": re.compile(
        r"\(`[^`]*`\.`(?P<table>[^`]+)`, CONSTRAINT `(?P<constraint>[^`]+)` FOREIGN KEY \(`(?P<column>[^`]+)`"
    ),
    "not null": re.compile(r"(?:Column|Field) '(?P<column>[^']+)'"),
    "check": re.compile(r"(?:constraint|CONSTRAINT) [`'](?:[^`']*\.)?(?P<constraint>[^`'.]+)[`']"),
}


def translate_mysql(error: BaseException, where: str) -> StorageError | None:
    import pymysql

    error = original(error)
    if isinstance(error, StorageError):
        return error
    if not isinstance(error, pymysql.err.Error):
        return _python_error(error)
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    detail = _first_line(str(error.args[1]) if len(error.args) > 1 else str(error))
    if number in _MYSQL_CONSTRAINTS:
        return _mysql_constraint(_MYSQL_CONSTRAINTS[number], detail)
    kind, text = _MYSQL.get(number, (StorageError, "{where}: {detail}"))
    if number == 0 and not isinstance(error, (pymysql.err.OperationalError, pymysql.err.InterfaceError)):
        kind, text = StorageError, "{where}: {detail}"
    return kind(text.format(where=where, detail=detail))


def _mysql_constraint(kind: str, message: str) -> ConstraintViolated:
    found = _MYSQL_NAMES[kind].search(message)
    names = found.groupdict() if found else {}
    column = names.get("column")
    return ConstraintViolated(
        kind, constraint=names.get("constraint"), table=names.get("table"), columns=[column] if column else []
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
