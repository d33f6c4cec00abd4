"""What was asked of whom lately, and how it went: the reference's service call history (spec/wallet-stack.md §1.9)."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sdk.core.ports import Clock

MAX_CALLS = 32


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Call:
    """``milliseconds`` is the time it took; ``success`` whether it gave what was wanted."""

    when: datetime
    milliseconds: float = 0.0
    success: bool = False
    error: str | None = None

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "when": self.when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "msecs": round(self.milliseconds, 3),
            "success": self.success,
        }
        if self.error is not None:
            wire["error"] = {"message": self.error, "code": "ERR_SERVICE"}
        return wire


@dataclass(slots=True)
class _Record:
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=MAX_CALLS))
    success: int = 0
    failure: int = 0
    error: int = 0


class CallHistory:
    """The last 32 calls of each service and provider, and their counts."""

    def __init__(self, clock: Clock = _utc_now, timer: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._timer = clock, timer
        self._records: dict[tuple[str, str], _Record] = {}

    @contextmanager
    def call(self, service: str, provider: str) -> Iterator[Call]:
        """Record one call under the provider that is really asked; set ``success`` on what it yields."""
        record = self._records.setdefault((service, provider), _Record())
        entry = Call(self._clock())
        started = self._timer()
        try:
            yield entry
        except SdkError as error:
            entry.error = str(error)[:300]
            raise
        finally:
            entry.milliseconds = (self._timer() - started) * 1000
            record.calls.appendleft(entry)
            record.success += entry.success
            record.failure += not entry.success
            record.error += entry.error is not None

    def to_wire(self) -> dict[str, Any]:
        """Version 2 of the reference's shape."""
        services: dict[str, Any] = {}
        for (service, provider), record in self._records.items():
            by_provider = services.setdefault(service, {"serviceName": service, "historyByProvider": {}})
            by_provider["historyByProvider"][provider] = {
                "serviceName": service,
                "providerName": provider,
                "calls": [each.to_wire() for each in record.calls],
                "totalCounts": {"success": record.success, "failure": record.failure, "error": record.error},
            }
        return {"version": 2, "services": services}
