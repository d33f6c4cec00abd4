"""Brings stored proofs in step with the chain, whether or not anybody saw the reorganisation happen (R51)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sdk.monitor.tasks.base import TaskResult
from sdk.monitor.tasks.new_header import agreed_tip

if TYPE_CHECKING:
    from sdk.monitor.tasks.base import TaskContext


class Reorg:
    name = "reorg"
    interval = timedelta(minutes=1)

    async def run(self, context: TaskContext) -> TaskResult:
        tip = await agreed_tip(context)
        if tip is None or context.state.get("followed") == tip.hash:
            return TaskResult()
        report = await context.backend.follow_tip(tip)
        wake = ("check-for-proofs",) if report.processed else ()
        return TaskResult(report.processed, report.detail, again=report.more, wake=wake, state={"followed": tip.hash})
