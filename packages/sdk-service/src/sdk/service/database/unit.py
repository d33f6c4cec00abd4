"""The unit of work: one open transaction, as the plain function that was handed to ``Database.write`` sees it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sdk.core.errors import StorageError
from sdk.service.errors import ConstraintViolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import sqlalchemy as sa

    from sdk.service.database.prepared import Compiled, Params, Prepared
    from sdk.service.database.row import Row


class Driver(Protocol):
    """What a unit needs to know of its database; one for each dialect."""

    name: str
    key: str

    @property
    def dialect(self) -> sa.Dialect: ...

    def translate(self, error: BaseException) -> StorageError | None:
        """Our error for the driver's, or None for what is not the driver's."""
        ...

    def insert_many(self, cursor: Any, sql: str, values: Sequence[Sequence[Any]]) -> list[int]:
        """Run one INSERT for each of ``values``; the keys the database gave, in order."""
        ...

    def borrow(self, dbapi_connection: Any) -> sa.Connection:
        """A SQLAlchemy view that neither begins, commits nor closes."""
        ...


class Unit:
    """One open transaction, valid only inside the function it was given to.

    Every method raises ``StorageError``: ``ConstraintViolated``, ``StorageBusy`` or ``StorageUnavailable``. After an
    error nothing more can be run, because databases differ in what is left. One exception: a ``ConstraintViolated``
    that leaves a ``savepoint`` undoes what was done inside it, and the unit may go on.
    """

    __slots__ = ("_borrowed", "_broken", "_connection", "_cursor", "_driver", "_points", "statements")

    def __init__(self, driver: Driver, dbapi_connection: Any) -> None:
        self._driver = driver
        self._connection = dbapi_connection
        self._cursor = dbapi_connection.cursor()
        self._borrowed: sa.Connection | None = None
        self._broken: BaseException | None = None
        self._points = 0
        self.statements = 0

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql`` (MariaDB too)."""
        return self._driver.name

    @property
    def connection(self) -> sa.Connection:
        """For rare paths and DDL: the same transaction through SQLAlchemy. Its statements are not counted."""
        if self._borrowed is None:
            self._require_open()
            self._borrowed = self._driver.borrow(self._connection)
        return self._borrowed

    def rows(self, statement: Prepared, **params: Any) -> list[Row]:
        compiled = self._run(statement, params)
        return compiled.rows(self._cursor.description, self._fetch(self._cursor.fetchall))

    def first(self, statement: Prepared, **params: Any) -> Row | None:
        compiled = self._run(statement, params)
        raw = self._fetch(self._cursor.fetchall)
        return compiled.rows(self._cursor.description, raw[:1])[0] if raw else None

    def scalar(self, statement: Prepared, **params: Any) -> Any:
        """First column of the first row, or None."""
        compiled = self._run(statement, params)
        raw = self._fetch(self._cursor.fetchall)
        return compiled.scalar(self._cursor.description, raw[0]) if raw else None

    def run(self, statement: Prepared, **params: Any) -> int:
        """Rows affected: those that the WHERE clause matched, changed or not, on every dialect."""
        self._run(statement, params)
        return int(self._cursor.rowcount)

    def run_many(self, statement: Prepared, params: Sequence[Params]) -> int:
        """One statement over many parameter sets, which must name the same parameters; rows affected in all."""
        if not params:
            return 0
        compiled = self._compiled(statement, params[0])
        sql, values = self._bind_many(compiled, params)
        self._count()
        self._guard(self._cursor.executemany, sql, values)
        return int(self._cursor.rowcount)

    def insert(self, statement: Prepared, **params: Any) -> int:
        """The new primary key."""
        compiled = self._run(statement, params)
        key = self._key_column(compiled)
        if key in params:
            return int(params[key])
        if compiled.returns_key:
            return int(self._fetch(self._cursor.fetchone)[0])
        return int(self._cursor.lastrowid)

    def insert_many(self, statement: Prepared, params: Sequence[Params]) -> list[int]:
        """The new primary keys, in the order of ``params``, which must name the same columns."""
        if not params:
            return []
        compiled = self._compiled(statement, params[0])
        key = self._key_column(compiled)
        if key in params[0]:
            self.run_many(statement, params)
            return [int(each[key]) for each in params]
        sql, values = self._bind_many(compiled, params)
        self._count()
        keys: list[int] = self._guard(self._driver.insert_many, self._cursor, sql, values)
        return keys

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is done inside is undone if an exception leaves it; the exception goes on."""
        self._points += 1
        name = f"sdk_{self._points}"
        self._execute(f"SAVEPOINT {name}", ())
        try:
            yield
            self._require_open()
        except Exception as error:
            if self._broken is None or isinstance(self._broken, ConstraintViolated):
                self._broken = None
                self._execute(f"ROLLBACK TO SAVEPOINT {name}", ())
                self._execute(f"RELEASE SAVEPOINT {name}", ())
            raise error
        self._execute(f"RELEASE SAVEPOINT {name}", ())

    # inside

    def _run(self, statement: Prepared, params: Params) -> Compiled:
        driver = self._driver
        compiled = statement.compiled(driver.dialect, driver.key, params)
        sql, values = compiled.bind(params)
        self.statements += 1
        self._execute(sql, values)
        return compiled

    def _count(self) -> None:
        self.statements += 1

    def _compiled(self, statement: Prepared, params: Params) -> Compiled:
        return statement.compiled(self._driver.dialect, self._driver.key, params)

    def _bind_many(self, compiled: Compiled, params: Sequence[Params]) -> tuple[str, list[Sequence[Any]]]:
        bound = [compiled.bind(each) for each in params]
        texts = {sql for sql, _ in bound}
        if len(texts) != 1:
            raise StorageError("run_many and insert_many cannot take IN lists")
        return texts.pop(), [values for _, values in bound]

    def _key_column(self, compiled: Compiled) -> str:
        if compiled.key_column is None:
            raise StorageError("insert gives integer keys of INSERT statements; use run for anything else")
        return compiled.key_column

    def _execute(self, sql: str, values: Sequence[Any]) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            self._cursor.execute(sql, values)
        except Exception as error:
            raise self._fail(error) from error

    def _fetch(self, fetch: Callable[[], Any]) -> Any:
        try:
            return fetch()
        except Exception as error:
            raise self._fail(error) from error

    def _guard(self, function: Callable[..., Any], *args: Any) -> Any:
        self._require_open()
        try:
            return function(*args)
        except Exception as error:
            raise self._fail(error) from error

    def _fail(self, error: Exception) -> Exception:
        translated = self._driver.translate(error)
        self._broken = translated or error
        return self._broken

    def _require_open(self) -> None:
        if self._broken is not None:
            raise self._broken

    def finish(self) -> BaseException | None:
        """Called by the database when the function is done: nothing more can be run. Returns what broke the unit."""
        broken, self._broken = self._broken, StorageError("this unit of work is over")
        self._cursor.close()
        self._borrowed = None
        return broken
