"""Posts what waits to be sent (R19, R23)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sdk.monitor.tasks.base import TaskResult

if TYPE_CHECKING:
    from sdk.monitor.tasks.base import TaskContext


class SendWaiting:
    name = "send-waiting"
    interval = timedelta(seconds=8)

    async def run(self, context: TaskContext) -> TaskResult:
        settings = context.settings
        report = await context.backend.send_waiting(
            min_age=timedelta(seconds=settings.send_min_age), limit=settings.chunk
        )
        return TaskResult(report.processed, report.detail, again=report.more)
