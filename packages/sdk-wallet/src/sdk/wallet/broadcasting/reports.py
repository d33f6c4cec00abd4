"""What a piece of background work says of itself; satisfies ``sdk.monitor.ports.Report``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class WorkReport:
    """``processed`` items; ``more`` if another call would find work at once; ``detail`` counts outcomes by name."""

    processed: int
    more: bool
    detail: Mapping[str, int] = field(default_factory=dict)
