"""Settings of the monitor: ``SDK_MONITOR_<NAME>``, or ``[monitor]`` in the settings file."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from sdk.service.settings import Settings


class MonitorSettings(Settings, component="monitor"):
    """Durations are in seconds. ``database`` is where the monitor keeps its own tables; without it, in the backend's.

    ``intervals`` overrides a task's own, by task name; ``disabled`` names tasks not to run here.
    ``settle_polls``: how many looks in a row must see the same tip before it counts (R50).
    """

    backend: str = "wallet"
    database: str | None = None
    database_schema: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8095, ge=0, le=65535)
    lease: float = Field(default=60.0, gt=0)
    time_limit: float = Field(default=600.0, gt=0)
    poll: float = Field(default=1.0, gt=0, le=60)
    grace: float = Field(default=30.0, ge=0)
    intervals: dict[str, float] = Field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    chunk: int = Field(default=100, ge=1, le=10_000)
    send_min_age: float = Field(default=7.0, ge=0)
    abandoned_after: float = Field(default=300.0, gt=0)
    settle_polls: int = Field(default=1, ge=0, le=100)
    log_days: int = Field(default=30, ge=1)

    def interval(self, name: str, default: timedelta) -> timedelta:
        given = self.intervals.get(name)
        return default if given is None else timedelta(seconds=given)
