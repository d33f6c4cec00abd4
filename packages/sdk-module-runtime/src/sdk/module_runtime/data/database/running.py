"""A statement under way in a thread, and the way to stop it from another."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sdk.module_runtime.data.database.bounded import break_off, cancel
from sdk.module_runtime.data.database.errors import LimitExceeded
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa

_log = get_logger(__name__)


class Running:
    """Never stops what runs later on the same connection: a server's that was told to stop something is not kept."""

    def __init__(self, *, may_cancel: bool = True) -> None:
        """Without ``may_cancel``, for what ends a transaction, ``stop`` only begins the time until ``break_off``."""
        self._may_cancel = may_cancel
        self._lock = threading.Lock()
        self._connection: sa.Connection | None = None
        self._stopped = False

    @contextmanager
    def on(self, connection: sa.Connection) -> Iterator[None]:
        with self._lock:
            if self._stopped:
                raise LimitExceeded("the statement was stopped before it began")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None
            if self._stopped and connection.dialect.name != "sqlite" and not connection.invalidated:
                connection.invalidate()

    def stop(self) -> None:
        """Blocks while the server is told. What had not begun will not begin."""
        self._end(cancel if self._may_cancel else _wait)

    def break_off(self) -> None:
        """For a statement that goes on after ``stop``: its server does not answer."""
        self._end(break_off)

    def _end(self, how: Callable[[sa.Connection], None]) -> None:
        with self._lock:
            self._stopped = True
            if self._connection is None or self._connection.invalidated:
                return
            try:
                how(self._connection)
            except Exception as error:  # noqa: BLE001 - drivers raise what they like; there is a harder way to end it
                _log.warning("statement_not_stopped", how=how.__name__, reason=type(error).__name__)


def _wait(connection: sa.Connection) -> None:
    """A COMMIT is given time and not cancelled."""
