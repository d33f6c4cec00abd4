"""Errors of the monitor.

SdkError
├─ UnknownTask (LookupError)     no installed task has that name; lists those that are
└─ TasksFailed                   what failed of the tasks that were to run once, and why
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Iterable


class UnknownTask(SdkError, LookupError):
    code = "ERR_UNKNOWN_TASK"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(sorted(known))
        super().__init__(name, self.known)

    def __str__(self) -> str:
        return f"no task is named {self.name!r} (there are: {', '.join(self.known) or 'none'})"


class TasksFailed(SdkError):
    code = "ERR_TASKS_FAILED"
