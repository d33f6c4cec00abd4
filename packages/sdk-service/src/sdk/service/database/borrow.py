"""A SQLAlchemy connection over a driver connection whose transaction belongs to somebody else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from sdk.service.database.json import json_options

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection


class Borrower:
    """Lends SQLAlchemy views for DDL and rare statements.

    Begin, commit, rollback and close do nothing on the lent connection: the unit of work decides.
    """

    def __init__(self, url: sa.URL, **options: Any) -> None:
        self._url, self._options = url, options
        self._engines = threading.local()

    def borrow(self, dbapi_connection: Any) -> sa.Connection:
        engines: dict[int, tuple[Any, sa.Engine]] = self._engines.__dict__.setdefault("of", {})
        known = engines.get(id(dbapi_connection))
        if known is None or known[0] is not dbapi_connection:
            engines.clear()
            known = engines[id(dbapi_connection)] = (dbapi_connection, self._engine(dbapi_connection))
        connection = known[1].connect()
        connection.begin()
        return connection

    def _engine(self, dbapi_connection: Any) -> sa.Engine:
        engine = sa.create_engine(
            self._url, creator=lambda: dbapi_connection, poolclass=StaticPool, **json_options(), **self._options
        )
        for method in ("do_begin", "do_commit", "do_rollback", "do_close", "do_terminate"):
            setattr(engine.dialect, method, _nothing)
        return engine


def _nothing(_connection: PoolProxiedConnection) -> None:
    """The owner of the transaction does this."""
