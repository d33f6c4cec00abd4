"""Rows: tuples whose members can be read by column name."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from sdk.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Row(tuple[Any, ...]):
    """One row of a result; ``row.satoshis`` or ``row[3]``. Each statement has a subclass of its own."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._fields, tuple(self))


def row_type(names: Sequence[str]) -> type[Row]:
    """A ``Row`` class for columns of these names; they must differ."""
    if len(set(names)) != len(names):
        double = sorted({name for name in names if names.count(name) > 1})
        raise StorageError(f"the statement returns several columns named {', '.join(double)}: label them apart")
    members: dict[str, Any] = {name: property(itemgetter(index)) for index, name in enumerate(names)}
    return type("Row", (Row,), {"__slots__": (), "_fields": tuple(names), **members})


def _rebuild(names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_type(names)(values)
