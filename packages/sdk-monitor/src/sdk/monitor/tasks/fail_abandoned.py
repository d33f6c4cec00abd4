"""Gives up what was begun and never signed, and asks after inputs that failed transactions still hold (R28, R47)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sdk.monitor.tasks.base import TaskResult

if TYPE_CHECKING:
    from sdk.monitor.tasks.base import TaskContext


class FailAbandoned:
    name = "fail-abandoned"
    interval = timedelta(minutes=5)

    async def run(self, context: TaskContext) -> TaskResult:
        report = await context.backend.fail_abandoned(
            older_than=timedelta(seconds=context.settings.abandoned_after), limit=context.settings.chunk
        )
        return TaskResult(report.processed, report.detail, again=report.more)
