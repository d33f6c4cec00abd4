"""What happens to modules, told once to whoever keeps a record. The kinds and their details stand here, all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE: Final = "state"
"""``state``, ``restarts``."""
STARTED: Final = "instance_started"
"""``instance``, ``pid``."""
READY: Final = "instance_ready"
"""``instance``."""
ENDED: Final = "instance_ended"
"""``instance``, ``status``: an exit code, or minus a signal."""
ANNOUNCED: Final = "endpoints_announced"
"""``listen``, ``endpoints``: ``{path, methods, auth}``."""
PORTS: Final = "ports_leased"
"""``ports``: all that the module holds now."""
REPLACED: Final = "module_replaced"
"""``instance``: the new one."""
REFUSED: Final = "channel_refused"
"""``channel``, ``reason``."""
CHANNEL_ALERT: Final = "channel_alert"
"""``channel``, ``about``, ``value``, ``threshold``."""
ORCHESTRATOR: Final = "orchestrator"
"""``state``: ``started`` or ``stopped``; ``orphans``: how many processes an earlier one had left."""


@dataclass(frozen=True)
class Happening:
    kind: str
    module_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
