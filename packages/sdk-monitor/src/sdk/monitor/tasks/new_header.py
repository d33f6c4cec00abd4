"""Follows the tip. It counts once it was seen again unchanged; then proofs and reorgs are looked for (R50)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sdk.monitor.tasks.base import TaskResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.monitor.tasks.base import TaskContext

NAME = "new-header"


@dataclass(frozen=True, slots=True)
class SeenTip:
    """Height and hash (display hex)."""

    height: int
    hash: str


class NewHeader:
    name = NAME
    interval = timedelta(seconds=5)

    async def run(self, context: TaskContext) -> TaskResult:
        tip = await context.backend.tip()
        seen = _tip(context.state.get("seen"))
        agreed = _tip(context.state.get("agreed"))
        now = SeenTip(tip.height, tip.hash)
        polls = int(context.state.get("polls", 0)) + 1 if now == seen else 0
        settled = now != agreed and polls >= context.settings.settle_polls
        state = {"seen": _json(now), "polls": polls, "agreed": _json(now if settled else agreed)}
        if not settled:
            return TaskResult(state=state)
        return TaskResult(1, {"height": now.height}, wake=("reorg", "check-for-proofs"), state=state)


async def agreed_tip(context: TaskContext) -> SeenTip | None:
    """The last tip that settled, on whichever worker."""
    return _tip((await context.state_of(NAME)).get("agreed"))


def _tip(value: Mapping[str, Any] | None) -> SeenTip | None:
    return None if value is None else SeenTip(int(value["height"]), str(value["hash"]))


def _json(tip: SeenTip | None) -> dict[str, Any] | None:
    return None if tip is None else {"height": tip.height, "hash": tip.hash}
