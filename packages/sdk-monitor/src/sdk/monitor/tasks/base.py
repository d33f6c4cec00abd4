"""What a task is: a name, an interval, one run over a context. Others add theirs by the group ``sdk.monitor.tasks``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime, timedelta

    from sdk.monitor.ports import Backend
    from sdk.monitor.settings import MonitorSettings

State = dict[str, Any]
"""What a task keeps between two runs, on whichever worker: JSON."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """``state`` is what the last run of this task left; ``state_of`` reads another task's. ``trim_log`` deletes log
    rows older than a moment and says how many."""

    backend: Backend
    settings: MonitorSettings
    now: datetime
    state: Mapping[str, Any]
    state_of: Callable[[str], Awaitable[Mapping[str, Any]]]
    trim_log: Callable[[datetime], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """``again``: due at once, there is more to do. ``wake``: tasks that are due now because of what this one found.
    ``state`` replaces the old one unless it is ``None``."""

    processed: int = 0
    detail: Mapping[str, int] = field(default_factory=dict)
    again: bool = False
    wake: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None


class Task(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def interval(self) -> timedelta: ...

    async def run(self, context: TaskContext) -> TaskResult:
        """One piece of work. It may be cancelled at any await, and another worker may repeat it."""
        ...
