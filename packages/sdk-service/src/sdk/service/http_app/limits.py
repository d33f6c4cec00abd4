"""How much one client, and all together, may ask for. Pure but for the injected clock; memory is bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``rate`` requests a second and ``burst`` at once for each client address; times in seconds, sizes in bytes.

    A connection whose reader takes less than 64 KiB in ``write_timeout``, though more waits for it, is cut off; so is
    one that would make all that waits for readers more than ``unread``. ``trusted_proxies`` is the number of reverse
    proxies in front whose ``X-Forwarded-For`` is believed. ``rate=0`` turns the rate limit off.
    """

    body: int = 16 * MIB
    body_timeout: float = 30.0
    header_timeout: float = 15.0
    keepalive_timeout: float = 75.0
    write_timeout: float = 60.0
    unread: int = 256 * MIB
    rate: float = 100.0
    burst: int = 200
    in_flight: int = 256
    in_flight_per_client: int = 64
    connections: int = 5_000
    clients: int = 10_000
    trusted_proxies: int = 0


class RateLimiter:
    """A token bucket for each key; the least recently seen keys are forgotten beyond ``keys``."""

    def __init__(
        self, rate: float, burst: int, *, keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._keys, self._clock = rate, float(burst), keys, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, cost: int = 1) -> float:
        """0 if what costs so many tokens may pass, otherwise the seconds until it might."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        tokens, seen = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - seen) * self._rate)
        passes = tokens >= cost
        self._buckets[key] = (tokens - cost if passes else tokens, now)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (cost - tokens) / self._rate

    def __len__(self) -> int:
        return len(self._buckets)


class InFlight:
    """Counts requests being worked on, in all and for each key."""

    def __init__(self, total: int, per_key: int) -> None:
        self._total, self._per_key = total, per_key
        self._count = 0
        self._by_key: dict[str, int] = {}

    def enter(self, key: str) -> bool:
        if self._count >= self._total or self._by_key.get(key, 0) >= self._per_key:
            return False
        self._count += 1
        self._by_key[key] = self._by_key.get(key, 0) + 1
        return True

    def leave(self, key: str) -> None:
        self._count -= 1
        left = self._by_key[key] - 1
        if left:
            self._by_key[key] = left
        else:
            del self._by_key[key]

    def __len__(self) -> int:
        return self._count
