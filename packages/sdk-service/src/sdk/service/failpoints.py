"""Places where a test may stop the process: before and after every COMMIT and every HTTP send.

``SDK_FAILPOINTS`` (read once, at import) says what happens; unset, ``reach`` does nothing.

    record:<file>   append ``<number> <name>`` for each point reached
    kill:<n>        SIGKILL the own process at the n-th point
    raise:<n>       raise ``FailpointReached`` at the n-th point

``SDK_FAILPOINTS_FILTER``, a regular expression searched in the name, limits what is counted.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError, SdkError

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE: Final = "SDK_FAILPOINTS"


class FailpointReached(SdkError):
    code = "ERR_FAILPOINT"


class Failpoints:
    """A parsed plan; ``reach`` counts the points that match."""

    def __init__(self, plan: str, pattern: str | None = None) -> None:
        kind, _, argument = plan.partition(":")
        actions: dict[str, Callable[[int, str], None]] = {
            "record": self._record,
            "kill": self._kill,
            "raise": self._raise,
        }
        if kind not in actions or not argument or (kind != "record" and not argument.isdecimal()):
            raise ConfigurationError(f"{VARIABLE}={plan!r}: write record:<file>, kill:<n> or raise:<n>")
        try:
            self._pattern = re.compile(pattern or "")
        except re.error as exc:
            raise ConfigurationError(f"{VARIABLE}_FILTER={pattern!r} is no regular expression: {exc}") from exc
        self._argument = argument
        self._act = actions[kind]
        self._lock = threading.Lock()
        self._count = 0

    def reach(self, name: str) -> None:
        if self._pattern.search(name) is None:
            return
        with self._lock:
            self._count += 1
            self._act(self._count, name)

    def _record(self, number: int, name: str) -> None:
        with open(self._argument, "a", encoding="utf-8") as file:
            file.write(f"{number} {name}\n")

    def _kill(self, number: int, _name: str) -> None:
        if number == int(self._argument):
            os.kill(os.getpid(), signal.SIGKILL)

    def _raise(self, number: int, name: str) -> None:
        if number == int(self._argument):
            raise FailpointReached(f"fail point {number} reached: {name}")


def _ignore(name: str) -> None:
    """No plan is set."""


def _from_environment() -> Callable[[str], None]:
    plan = os.environ.get(VARIABLE)
    return Failpoints(plan, os.environ.get(f"{VARIABLE}_FILTER")).reach if plan else _ignore


reach: Final[Callable[[str], None]] = _from_environment()
active: Final[bool] = reach is not _ignore
