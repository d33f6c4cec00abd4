"""The orchestrator as the threads of a module see it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ServiceOperationFailed, Unsupported
from sdk.module_runtime.process_link import process_link

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sdk.module_runtime.process_link import ProcessLink

TIMEOUT: Final = 60.0
"""Seconds for an answer: longer than the orchestrator lets a statement take, so that its own word comes first."""
EXTENSION: Final = "sessions"


class Lender:
    """Every call blocks its thread and raises ``LinkClosed``, ``LinkTimeout`` or ``ServiceOperationFailed``."""

    def __init__(self, found: ProcessLink) -> None:
        self._link, self._loop = found
        self._lock = threading.Lock()
        self._left: list[str] = []

    def open(self, name: str) -> str:
        """``Unsupported`` under an orchestrator that opens no sessions."""
        if EXTENSION not in self._link.extensions:
            raise Unsupported(EXTENSION, "open")
        self._close_left()
        config = {"database": name, "session": True}
        connection: str = self._wait(self._link.open_service("Database", config, timeout=TIMEOUT))
        return connection

    def operate(self, connection: str, operation: str, params: Any) -> Any:
        return self._wait(self._link.operate(connection, "Database", operation, params, timeout=TIMEOUT))

    def close(self, connection: str) -> None:
        """What cannot be told now is told when the next session is opened."""
        try:
            self.operate(connection, "close", {})
        except ServiceOperationFailed:
            """It is gone already."""
        except (LinkClosed, LinkTimeout):
            with self._lock:
                self._left.append(connection)

    def leave(self, connection: str) -> None:
        """As ``close``, but without waiting for a link that does not answer."""
        with self._lock:
            self._left.append(connection)

    def _close_left(self) -> None:
        with self._lock:
            left, self._left = self._left, []
        for connection in left:
            self.close(connection)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        if _running_loop() is self._loop:
            work.close()
            raise RuntimeError("a lent database blocks: use it in a thread, not in the event loop of its module")
        try:
            waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise LinkClosed("this module has ended") from error
        try:
            return waiting.result()
        except CancelledError:
            raise LinkClosed("this module ends") from None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_of_this_process: tuple[ProcessLink, Lender] | None = None


def lender_of_this_process() -> Lender:
    """``ConfigurationError`` where no orchestrator has started this process."""
    global _of_this_process
    found = process_link()
    if found is None:
        raise ConfigurationError(
            "a database of lent+… is an orchestrator's, for its modules: this process is none, so name the database"
        )
    if _of_this_process is None or _of_this_process[0] is not found:
        _of_this_process = found, Lender(found)
    return _of_this_process[1]
