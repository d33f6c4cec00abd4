"""Deletes old log rows, so that the log stays as long as its days and no longer (R75)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sdk.monitor.tasks.base import TaskResult

if TYPE_CHECKING:
    from sdk.monitor.tasks.base import TaskContext


class TrimLog:
    name = "trim-log"
    interval = timedelta(hours=1)

    async def run(self, context: TaskContext) -> TaskResult:
        deleted = await context.trim_log(context.now - timedelta(days=context.settings.log_days))
        return TaskResult(deleted, {"deleted": deleted} if deleted else {})
