"""Statements written in SQLAlchemy Core, turned into SQL text once, and run on the driver's cursor.

What SQLAlchemy does for every execution (cache key, compilation lookup, execution context, result object) costs more
than the statement itself on an embedded database. Here it is done once for each dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import BindParameter

from sdk.core.errors import StorageError
from sdk.service.database.row import row_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column, Dialect
    from sqlalchemy.sql.base import Executable
    from sqlalchemy.sql.compiler import SQLCompiler

    from sdk.service.database.row import Row

Params = Mapping[str, Any]
Process = Callable[[Any], Any]
Description = Sequence[Sequence[Any]]
Make = Callable[[], "Executable"]

_VARIANTS = 256  # SQL texts kept for one statement, by the columns of an INSERT or the lengths of its IN lists


class Prepared:
    """A statement as a module constant: ``FIND = Prepared(select(t).where(t.c.id == bindparam("id")))``.

    An INSERT takes the columns to fill from the parameters it is run with, unless it names its values itself;
    Python-side column defaults are filled in. ``sqlite``, ``postgresql`` and ``mysql`` make the statement for one
    dialect, when it is first run there. Expanding IN parameters take a list. Safe to use from any thread.
    """

    __slots__ = ("_alternatives", "_compiled", "_statement", "_statements")

    def __init__(
        self,
        statement: Executable,
        *,
        sqlite: Make | None = None,
        postgresql: Make | None = None,
        mysql: Make | None = None,
    ) -> None:
        self._statement = statement
        self._alternatives = {"sqlite": sqlite, "postgresql": postgresql, "mysql": mysql, "mariadb": mysql}
        self._statements: dict[str, Executable] = {}
        self._compiled: dict[tuple[str, frozenset[str] | None], Compiled] = {}

    def compiled(self, dialect: Dialect, key: str, params: Params) -> Compiled:
        """The form for ``dialect``; ``key`` names the dialect and whatever of its version matters."""
        statement = self._statements.get(dialect.name)
        if statement is None:
            make = self._alternatives.get(dialect.name)
            statement = self._statements[dialect.name] = self._statement if make is None else make()
        names = frozenset(params) if isinstance(statement, Insert) else None
        found = self._compiled.get((key, names))
        if found is None:
            if len(self._compiled) >= _VARIANTS:
                self._compiled.clear()
            found = self._compiled[key, names] = Compiled(statement, dialect, names)
        return found

    def __repr__(self) -> str:
        return f"Prepared({' '.join(str(self._statement).split())})"


class _Bind(NamedTuple):
    """Where the value of one place comes from: a parameter, a default, or a constant."""

    parameter: str | None
    constant: Any
    default: Callable[[], Any] | None
    process: Process | None


class _Places(NamedTuple):
    """The values of a statement without IN lists: constants as they are sent, and what is filled in for each run."""

    constants: tuple[Any, ...]
    given: tuple[tuple[int, str], ...]
    processed: tuple[tuple[int, str, Process], ...]
    defaults: tuple[tuple[int, Callable[[], Any]], ...]

    @classmethod
    def of(cls, binds: Sequence[_Bind]) -> _Places:
        constants: list[Any] = [None] * len(binds)
        given, processed, defaults = [], [], []
        for place, (parameter, constant, default, process) in enumerate(binds):
            if default is not None:
                defaults.append((place, default if process is None else _chain(default, process)))
            elif parameter is None:
                constants[place] = constant if process is None else process(constant)
            elif process is None:
                given.append((place, parameter))
            else:
                processed.append((place, parameter, process))
        return cls(tuple(constants), tuple(given), tuple(processed), tuple(defaults))

    def values(self, params: Params) -> list[Any]:
        values = list(self.constants)
        for place, name in self.given:
            values[place] = params[name]
        for place, name, process in self.processed:
            values[place] = process(params[name])
        for place, default in self.defaults:
            values[place] = default()
        return values


class Text(NamedTuple):
    """SQL with its places: each a bind name and, for a member of an IN list, its index there."""

    sql: str
    places: tuple[tuple[str, int | None], ...]


class Compiled:
    """One statement for one dialect (and, of an INSERT, one set of columns)."""

    def __init__(self, statement: Executable, dialect: Dialect, names: frozenset[str] | None) -> None:
        self._dialect = dialect
        self._compiler = compiler = _compile(statement, dialect, names)
        defaults = {column.key: default for column, default in _defaults(compiler)}
        self._binds = {
            name: _bind(name, compiler.binds[name], dialect, defaults)
            for name in dict.fromkeys(compiler.positiontup or ())
        }
        self._optional = {
            name: bind.value
            for name, bind in compiler.binds.items()
            if name in self._binds and _is_parameter(bind) and not bind.required and bind.value is not None
        }
        self._parameters = frozenset(each.parameter for each in self._binds.values() if each.parameter is not None)
        self._expanding = tuple(name for name in self._binds if compiler.binds[name] in compiler.post_compile_params)
        self._texts: dict[tuple[int, ...], Text] = {}
        self.returns_key = bool(isinstance(statement, Insert) and compiler.effective_returning)
        self.key_column = _key_column(statement) if isinstance(statement, Insert) else None
        self.sql = "" if self._expanding else compiler.string
        self._plain = (
            None if self._expanding else _Places.of([self._binds[name] for name in compiler.positiontup or ()])
        )
        self._row: type[Row] | None = None
        self._processors: tuple[Process | None, ...] = ()
        self._has_processors = False

    # parameters

    def bind(self, params: Params) -> tuple[str, Sequence[Any]]:
        """SQL and positional values. Raises ``TypeError`` for a missing or unknown parameter."""
        if self._optional:
            params = {**self._optional, **params}
        if len(params) != len(self._parameters) or not self._parameters.issuperset(params):
            raise self._mismatch(params)
        return self._bind_expanding(params) if self._plain is None else (self.sql, self._plain.values(params))

    def _value(self, bind: _Bind, params: Params) -> Any:
        if bind.parameter is not None:
            return params[bind.parameter]
        return bind.constant if bind.default is None else bind.default()

    def _bind_expanding(self, params: Params) -> tuple[str, Sequence[Any]]:
        """IN lists are filled up to the next power of two, so that there are few SQL texts."""
        lists: dict[str, list[Any]] = {}
        shape: list[int] = []
        for name in self._expanding:
            values = _padded(list(self._value(self._binds[name], params)))
            lists[name] = [member for value in values for member in value] if _is_tuples(values) else values
            shape.append(len(values))
            if _is_tuples(values):
                shape.append(len(values[0]))
        text = self._texts.get(tuple(shape))
        if text is None:
            if len(self._texts) >= _VARIANTS:
                self._texts.clear()
            text = self._texts[tuple(shape)] = self._expand(params)
        values = []
        for name, index in text.places:
            bind = self._binds[name]
            value = self._value(bind, params) if index is None else lists[name][index]
            values.append(value if bind.process is None else bind.process(value))
        return text.sql, values

    def _expand(self, params: Params) -> Text:
        given: dict[str, Any] = dict.fromkeys(self._binds)
        given.update((name, _padded(list(self._value(self._binds[name], params)))) for name in self._expanding)
        state = self._compiler.construct_expanded_state(given)
        origin = {
            member: (name, index)
            for name, members in state.parameter_expansion.items()
            for index, member in enumerate(members)
        }
        return Text(state.statement, tuple(origin.get(name, (name, None)) for name in state.positiontup or ()))

    def _mismatch(self, params: Params) -> TypeError:
        missing = sorted(self._parameters.difference(params))
        unknown = sorted(set(params).difference(self._parameters))
        parts = [
            f"{word} {', '.join(names)}" for word, names in (("lacks", missing), ("does not take", unknown)) if names
        ]
        return TypeError(f"the statement {' and '.join(parts)}: {' '.join(self._compiler.string.split())}")

    # results

    def row(self, description: Description) -> type[Row]:
        """The class of this statement's rows; needs the first result, for what only the driver knows."""
        if self._row is None:
            names = [str(column[0]) for column in description]
            self._processors = tuple(self._result_processors(description))
            self._has_processors = any(each is not None for each in self._processors)
            self._row = row_type(names)
        return self._row

    def _result_processors(self, description: Description) -> Iterable[Process | None]:
        entries = self._compiler._result_columns
        if not entries:
            return (None for _ in description)
        if len(entries) != len(description):
            raise StorageError(f"{len(entries)} columns were asked for and {len(description)} came back")
        return (
            entry.type.dialect_impl(self._dialect).result_processor(self._dialect, column[1])
            for entry, column in zip(entries, description, strict=True)
        )

    def rows(self, description: Description, raw: Iterable[Sequence[Any]]) -> list[Row]:
        """Column by column, so that only values that need Python code cost any."""
        make = self.row(description)
        if not self._has_processors:
            return list(map(make, raw))
        columns: list[Iterable[Any]] = list(zip(*raw, strict=True))
        for index, process in enumerate(self._processors):
            if process is not None and columns:
                columns[index] = map(process, columns[index])
        return list(map(make, zip(*columns, strict=True)))

    def scalar(self, description: Description, raw: Sequence[Any]) -> Any:
        if self._row is None:
            self.row(description)
        process = self._processors[0]
        return raw[0] if process is None else process(raw[0])


def _compile(statement: Executable, dialect: Dialect, names: frozenset[str] | None) -> SQLCompiler:
    explicit = {bind.key for bind in visitors.iterate(statement) if isinstance(bind, BindParameter) and not bind.unique}  # type: ignore[arg-type]
    columns = None if names is None or not names - explicit else sorted(names - explicit)
    if columns is not None:
        known = set(statement.table.c.keys()) if isinstance(statement, Insert) else set()
        if unknown := sorted(set(columns) - known):
            raise TypeError(f"{statement.table} has no column {', '.join(unknown)}")  # type: ignore[attr-defined]
    return statement.compile(dialect=dialect, column_keys=columns)  # type: ignore[attr-defined,no-any-return]


def _defaults(compiler: SQLCompiler) -> Iterable[tuple[Column[Any], Callable[[], Any]]]:
    """Python-side defaults that SQLAlchemy leaves to the execution."""
    for column in compiler.prefetch:
        default: Any = column.onupdate if isinstance(compiler.statement, Update) else column.default
        if default is None or not (default.is_scalar or default.is_callable):
            raise StorageError(
                f"the default of {column} cannot be computed here: use a scalar, a function or server_default"
            )
        yield column, _constant(default.arg) if default.is_scalar else _call(default.arg)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _call(function: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: function(None)


def _chain(default: Callable[[], Any], process: Process) -> Callable[[], Any]:
    return lambda: process(default())


def _is_parameter(bind: BindParameter[Any]) -> bool:
    return not bind.unique


def _bind(name: str, bind: BindParameter[Any], dialect: Dialect, defaults: Mapping[str, Callable[[], Any]]) -> _Bind:
    process = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.expanding and getattr(bind.type, "_is_tuple_type", False):
        process = None
    if name in defaults:
        return _Bind(None, None, defaults[name], process)
    if _is_parameter(bind):
        return _Bind(name, None, None, process)
    if bind.callable is not None:
        return _Bind(None, None, bind.callable, process)
    return _Bind(None, bind.value, None, process)


def _key_column(statement: Insert) -> str | None:
    column = getattr(statement.table, "autoincrement_column", None)
    return None if column is None else str(column.key)


def _is_tuples(values: Sequence[Any]) -> bool:
    return bool(values) and isinstance(values[0], (tuple, list))


def _padded(values: list[Any]) -> list[Any]:
    """Repeating the last member changes neither IN nor NOT IN."""
    count = len(values)
    if count <= 1:
        return values
    wanted = 1 << (count - 1).bit_length() if count <= 1024 else -(-count // 1024) * 1024
    return values + values[-1:] * (wanted - count)
