"""Looks for proofs, up to the height that ``new-header`` has seen settle (R50)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sdk.monitor.tasks.base import TaskResult
from sdk.monitor.tasks.new_header import agreed_tip

if TYPE_CHECKING:
    from sdk.monitor.tasks.base import TaskContext


class CheckForProofs:
    name = "check-for-proofs"
    interval = timedelta(seconds=60)

    async def run(self, context: TaskContext) -> TaskResult:
        tip = await agreed_tip(context)
        if tip is None:
            return TaskResult(detail={"no_tip_yet": 1})
        report = await context.backend.check_for_proofs(up_to_height=tip.height, limit=context.settings.chunk)
        return TaskResult(report.processed, report.detail, again=report.more)
