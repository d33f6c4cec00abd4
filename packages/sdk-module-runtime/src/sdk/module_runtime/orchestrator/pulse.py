"""What heartbeats tell of a channel: how long the module takes to answer, and when it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.module_runtime.orchestrator import happenings
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from sdk.module_runtime.channels.metrics import ChannelMetrics
    from sdk.module_runtime.orchestrator.conversation import Conversation

_log = get_logger(__name__)


class Pulse:
    """Of one connection, counted for its channel. A heartbeat that is unanswered when the next is due has failed."""

    def __init__(self, metrics: ChannelMetrics) -> None:
        self._metrics = metrics
        self._unanswered_since: float | None = None

    def sent(self, now: float) -> None:
        if self._unanswered_since is None:
            self._unanswered_since = now
        else:
            self._metrics.fail(now)

    def answered(self, now: float) -> None:
        if self._unanswered_since is not None:
            self._metrics.answer(now - self._unanswered_since, now)
            self._unanswered_since = None


def tell_alerts(conversation: Conversation, channel: str, metrics: ChannelMetrics, now: float) -> None:
    """Those that are due, in the log and for the record. A module that ends may close its channels."""
    if conversation.is_draining:
        return
    for about, value, threshold in metrics.due_alerts(now):
        detail = {"channel": channel, "about": about, "value": value, "threshold": threshold}
        _log.warning("channel_alert", module_id=conversation.module_id, **detail)
        conversation.tell(happenings.CHANNEL_ALERT, **detail)
