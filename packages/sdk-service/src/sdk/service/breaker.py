"""A circuit breaker: after several failures in a row a service is left alone for a while.

States: closed (calls pass), open (calls fail at once), half open (one call may probe). Pure but for the injected clock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sdk.core.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Opens after ``threshold`` failures in a row, for ``rest`` seconds; then lets one probe through."""

    def __init__(
        self, service: str, *, threshold: int = 5, rest: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service, self._threshold, self._rest, self._clock = service, threshold, rest, clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half open``."""
        if self._opened is None:
            return "closed"
        return "open" if self._clock() < self._opened + self._rest else "half open"

    def enter(self) -> None:
        """Before a call. Raises ``ServiceUnavailable`` while the service rests."""
        state = self.state
        if state == "closed":
            return
        if state == "open" or self._probing:
            wait = max(0.0, (self._opened or 0.0) + self._rest - self._clock())
            raise ServiceUnavailable(
                self._service, f"left alone after {self._failures} failures in a row; next attempt in {wait:.0f} s"
            )
        self._probing = True

    def succeeded(self) -> None:
        self._failures, self._opened, self._probing = 0, None, False

    def failed(self) -> None:
        self._failures += 1
        if self._probing or self._failures >= self._threshold:
            self._opened = self._clock()
        self._probing = False

    def abandoned(self) -> None:
        """The call was cancelled: nothing was learnt."""
        self._probing = False
