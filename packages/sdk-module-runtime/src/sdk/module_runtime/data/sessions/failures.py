"""A driver's error as it is told to a module, and made again there: what SQLAlchemy and we look at is the same."""

from __future__ import annotations

import builtins
import sqlite3
from importlib import import_module
from typing import Any, Final

_PEP_249: Final = (
    "IntegrityError", "DataError", "InternalError", "NotSupportedError", "OperationalError", "ProgrammingError",
    "InterfaceError", "DatabaseError", "Error",
)  # fmt: skip
"""The more special before the more general."""
_PYTHON: Final = ("OverflowError", "UnicodeEncodeError", "UnicodeError", "ValueError", "TypeError")
MODULES: Final = {"sqlite": "sqlite3", "postgresql": "psycopg", "mysql": "pymysql"}
"""Where each dialect's driver has its errors."""


def failure_of(error: Exception) -> dict[str, Any]:
    """Its PEP 249 class, its arguments, and what the driver knows beyond them."""
    names = {each.__name__ for each in type(error).__mro__}
    found: dict[str, Any] = {
        "class": next((name for name in (*_PEP_249, *_PYTHON) if name in names), "DatabaseError"),
        "args": [each if isinstance(each, (str, int)) else str(each) for each in error.args] or [str(error)],
    }
    if isinstance(error, UnicodeError):
        found["class"], found["args"] = "ValueError", [str(error)]
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", None)
        if name is not None:
            found["sqlite"] = [name, error.sqlite_errorcode]
    state = getattr(error, "sqlstate", None)
    if state is not None:
        found["sqlstate"] = state
    if hasattr(error, "pgresult"):
        found["diagnosis"] = _diagnosis(error)
    return found


def error_from(dialect: str, failure: dict[str, Any]) -> Exception:
    """The driver's own error, though its server was never seen here."""
    name, args = failure["class"], failure["args"]
    if name in _PYTHON:
        kind: type[Exception] = getattr(builtins, name)
        return kind(*args)
    driver = import_module(MODULES[dialect])
    if dialect == "postgresql":
        return _psycopg_error(driver, name, failure)
    error: Exception = getattr(driver, name if name in _PEP_249 else "DatabaseError")(*args)
    if "sqlite" in failure:
        error.sqlite_errorname, error.sqlite_errorcode = failure["sqlite"]  # type: ignore[attr-defined]
    return error


def _diagnosis(error: Any) -> list[list[Any]]:
    from psycopg.pq import DiagnosticField

    result = error.pgresult
    if result is None:
        return []
    return [[int(each), value] for each in DiagnosticField if (value := result.error_field(each)) is not None]


def _psycopg_error(driver: Any, name: str, failure: dict[str, Any]) -> Exception:
    state = failure.get("sqlstate")
    if state is None:
        error: Exception = getattr(driver, name if name in _PEP_249 else "DatabaseError")(*failure["args"])
        return error
    try:
        kind = driver.errors.lookup(state)
    except KeyError:
        kind = getattr(driver, name if name in _PEP_249 else "DatabaseError")
    from psycopg.pq import DiagnosticField

    info = dict.fromkeys(DiagnosticField) | {DiagnosticField(number): value for number, value in failure["diagnosis"]}
    made: Exception = kind(*failure["args"], info=info)
    return made
