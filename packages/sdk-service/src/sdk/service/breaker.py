"""A circuit breaker: after several failures in a row a service is left alone for a while.

States: closed (calls pass), open (calls fail at once), half open (one call may probe). The first rest is short, for a
service that restarts is soon back; each probe that fails doubles it. Pure but for the injected clock and jitter.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from sdk.core.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Opens after ``threshold`` failures in a row and lets one probe through after a rest.

    The first rest lasts up to ``first_rest`` seconds; each probe that fails doubles that, up to ``longest_rest``. With
    ``jitter`` (0 to 1) it ends between half and all of that, so that many clients do not come back at once.
    """

    def __init__(
        self,
        service: str,
        *,
        threshold: int = 5,
        first_rest: float = 1.0,
        longest_rest: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._service, self._threshold = service, threshold
        self._first_rest, self._longest_rest = first_rest, longest_rest
        self._clock, self._jitter = clock, jitter
        self._failures = self._rests = 0
        self._reason = ""
        self._rests_until: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half open``."""
        if self._rests_until is None:
            return "closed"
        return "open" if self._clock() < self._rests_until else "half open"

    def enter(self) -> None:
        """Before a call. Raises ``ServiceUnavailable`` while the service rests; it names the last failure."""
        if self._rests_until is None:
            return
        wait = self._rests_until - self._clock()
        if wait > 0 or self._probing:
            last = f": {self._reason}" if self._reason else ""
            raise ServiceUnavailable(
                self._service,
                f"left alone after {self._failures} failures in a row, next attempt in {max(wait, 0.0):.1f} s{last}",
            )
        self._probing = True

    def succeeded(self) -> None:
        self._failures = self._rests = 0
        self._rests_until, self._probing = None, False

    def failed(self, reason: str = "") -> None:
        """Calls that began before a rest and fail during it do not make it longer."""
        self._failures += 1
        self._reason = reason
        if self._probing or (self._rests_until is None and self._failures >= self._threshold):
            rest = min(self._longest_rest, self._first_rest * 2.0 ** min(self._rests, 32))
            self._rests_until = self._clock() + rest * (0.5 + 0.5 * self._jitter())
            self._rests += 1
        self._probing = False

    def abandoned(self) -> None:
        """The call was cancelled: nothing was learnt."""
        self._probing = False
