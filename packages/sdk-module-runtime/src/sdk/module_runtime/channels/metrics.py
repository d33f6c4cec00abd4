"""How a channel does: counts, latencies, outages, what was promised of it, and when somebody has to be told.

Everything is of fixed size, and what happens with each message is a few additions; percentiles are worked out when
somebody asks. Beside the reference, how much is sent is no promise and no alarm: a quiet channel is not a bad one.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES: Final = 1000
RECENT: Final = 100
"""The samples that routing looks at, the newest of which is not older than ``FRESH`` seconds."""
LEAST: Final = 20
"""Samples of which the slowest is one in twenty."""
FRESH: Final = 60.0
WINDOW: Final = 3600.0
SLICES: Final = 60
"""Parts of the window, each forgotten as a whole."""
OUTAGES: Final = 256
CHECK_EVERY: Final = 30.0
"""Seconds between looks for alerts, however often somebody asks: what has to be sorted for them is not free."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What is promised of a channel, over the window. ``latency``: seconds that 95 of 100 requests take at most."""

    availability: float = 0.999
    latency: float = 0.1
    error_rate: float = 0.01


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on somebody is told, at most every ``interval`` seconds of each kind. ``latency`` in seconds."""

    latency: float = 0.5
    error_rate: float = 0.05
    availability: float = 0.95
    in_flight: int = 1000
    interval: float = 300.0
    least: int = 20
    """Requests in the window, without which an error rate means nothing."""
    least_seconds: float = 60.0
    """Since it was first open, before which its availability means nothing."""


class Latencies(NamedTuple):
    """Seconds, over the last ``SAMPLES``; all 0 if there are none."""

    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Figures(NamedTuple):
    """``error_rate`` and ``availability`` (0 to 1) over the window, the rest since the start."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    answered: int
    failed: int
    in_flight: int
    connections: int
    latency: Latencies
    error_rate: float
    availability: float


class Alert(NamedTuple):
    """``kind`` is ``latency``, ``error_rate``, ``availability`` or ``in_flight``."""

    kind: str
    value: float
    threshold: float


class Traffic:
    """What a connection counts, for all connections of one channel after one another. Bytes of whole frames."""

    __slots__ = ("bytes_received", "bytes_sent", "received", "sent")

    def __init__(self) -> None:
        self.sent = self.received = self.bytes_sent = self.bytes_received = 0


class ChannelMetrics:
    """Of one channel. Times are seconds of whoever calls."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.traffic = Traffic()
        self.answered = self.failed = self.in_flight = self.connections = 0
        self.alerts: dict[str, int] = {}
        """How often each kind was told."""
        self._thresholds = thresholds or Thresholds()
        self._told_at: dict[str, float] = {}
        self._check_at = 0.0
        self._latencies = array("d")
        self._next = 0
        self._sampled_at = 0.0
        self._began: float | None = None
        self._slices: deque[list[float]] = deque(maxlen=SLICES)  # [begin, answered, failed]
        self._lost_at: float | None = None
        self._outages: deque[tuple[float, float]] = deque(maxlen=OUTAGES)

    # --- what happens ---

    def opened(self, now: float) -> None:
        self.connections += 1
        self._began = now if self._began is None else self._began
        if self._lost_at is not None:
            self._outages.append((self._lost_at, now))
            self._lost_at = None

    def lost(self, now: float) -> None:
        if self._lost_at is None:
            self._lost_at = now

    def answer(self, seconds: float, now: float) -> None:
        """A request was answered after ``seconds``."""
        self.answered += 1
        self._sampled_at = now
        if len(self._latencies) < SAMPLES:
            self._latencies.append(seconds)
        else:
            self._latencies[self._next] = seconds
            self._next = (self._next + 1) % SAMPLES
        self._slice(now)[1] += 1

    def fail(self, now: float) -> None:
        """A request got no answer."""
        self.failed += 1
        self._slice(now)[2] += 1

    # --- what it comes to ---

    def recent_p95(self, now: float) -> float | None:
        """Seconds, of the last ``RECENT`` requests; None if there were too few, or none for a while."""
        if len(self._latencies) < LEAST or now - self._sampled_at > FRESH:
            return None
        end = self._next or len(self._latencies)
        last = self._latencies[max(0, end - RECENT) : end]
        if 0 < self._next < RECENT:  # the older of them are at the other end of the ring
            last = self._latencies[self._next - RECENT :] + last
        return percentile(sorted(last), 0.95)

    def latencies(self) -> Latencies:
        if not self._latencies:
            return Latencies()
        ordered = sorted(self._latencies)
        p50, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return Latencies(sum(ordered) / len(ordered), p50, p95, p99, ordered[-1])

    def error_rate(self, now: float) -> float:
        answered, failed = self._within(now)
        return failed / (answered + failed) if failed else 0.0

    def availability(self, now: float) -> float:
        """The share of the window, or of the time since it was first open, in which it was."""
        if self._began is None:
            return 0.0
        begin = max(self._began, now - WINDOW)
        if now <= begin:
            return 1.0
        outages = [*self._outages, *([] if self._lost_at is None else [(self._lost_at, now)])]
        away = sum(max(0.0, min(back, now) - max(gone, begin)) for gone, back in outages)
        return 1 - away / (now - begin)

    def figures(self, now: float) -> Figures:
        traffic = self.traffic
        return Figures(
            traffic.sent,
            traffic.received,
            traffic.bytes_sent,
            traffic.bytes_received,
            self.answered,
            self.failed,
            self.in_flight,
            self.connections,
            self.latencies(),
            self.error_rate(now),
            self.availability(now),
        )

    def due_alerts(self, now: float) -> list[Alert]:
        """Those to be told now: each kind at most once an interval."""
        if now < self._check_at:
            return []
        self._check_at = now + CHECK_EVERY
        limits = self._thresholds
        answered, failed = self._within(now)
        found = [
            Alert("latency", self.recent_p95(now) or 0.0, limits.latency),
            Alert("in_flight", self.in_flight, limits.in_flight),
        ]
        if answered + failed >= limits.least:
            found.append(Alert("error_rate", self.error_rate(now), limits.error_rate))
        due = [each for each in found if each.value > each.threshold]
        availability = self.availability(now)
        if self._began is not None and now - self._began >= limits.least_seconds and availability < limits.availability:
            due.append(Alert("availability", availability, limits.availability))
        due = [each for each in due if now - self._told_at.get(each.kind, -limits.interval) >= limits.interval]
        for each in due:
            self._told_at[each.kind] = now
            self.alerts[each.kind] = self.alerts.get(each.kind, 0) + 1
        return due

    def _slice(self, now: float) -> list[float]:
        if self._slices and now - self._slices[-1][0] < WINDOW / SLICES:
            return self._slices[-1]
        self._slices.append([now, 0, 0])
        return self._slices[-1]

    def _within(self, now: float) -> tuple[float, float]:
        """Requests answered and failed in the window."""
        recent = [each for each in self._slices if now - each[0] < WINDOW]
        return sum(each[1] for each in recent), sum(each[2] for each in recent)


def percentile(ordered: list[float], share: float) -> float:
    """Of values in order, as the reference takes it: the one at ``share`` of their number."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def kept(figures: Figures, promised: Objectives) -> Iterator[tuple[str, bool]]:
    """Each objective, and whether it is met."""
    yield "availability", figures.availability >= promised.availability
    yield "latency", figures.latency.p95 <= promised.latency
    yield "error_rate", figures.error_rate <= promised.error_rate
