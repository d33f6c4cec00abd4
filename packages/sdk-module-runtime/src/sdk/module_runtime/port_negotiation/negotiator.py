"""Asks the orchestrator for a port (spec/module-runtime.md §1.11)."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sdk.core.errors import ServiceUnavailable
from sdk.module_runtime.errors import LinkClosed, LinkTimeout
from sdk.module_runtime.port_negotiation.errors import PortRefused, PortTimeout, PortUnavailable
from sdk.module_runtime.protocol.messages import PortRequest
from sdk.service.breaker import Breaker
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import tenacity

    from sdk.module_runtime.protocol.messages import PortResponse

_log = get_logger(__name__)


class PortLink(Protocol):
    async def request_port(self, request: PortRequest, *, timeout: float) -> PortResponse:
        """Raises ``LinkTimeout`` and ``LinkClosed``."""
        ...


@dataclass(frozen=True, slots=True)
class NegotiationSettings:
    """Seconds. Attempt ``n`` (from 0) waits ``min(first_timeout + n, longest_timeout)`` for its answer."""

    attempts: int = 3
    first_timeout: float = 3.0
    longest_timeout: float = 10.0
    first_pause: float = 0.1
    longest_pause: float = 2.0
    failures: int = 5
    """In a row, until the orchestrator is left alone for ``rest``."""
    rest: float = 60.0


class PortNegotiator:
    """Only silence is asked again, after growing pauses with jitter; each time for the same port and under a new id.

    A port that was granted is answered to all later calls until ``give_up``.
    """

    def __init__(
        self,
        link: PortLink,
        settings: NegotiationSettings = NegotiationSettings(),
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._link, self._settings, self._sleep, self._jitter, self._new_id = link, settings, sleep, jitter, new_id
        self._breaker = Breaker(
            "port negotiation",
            threshold=settings.failures,
            first_rest=settings.rest,
            longest_rest=settings.rest,
            clock=clock,
            jitter=lambda: 1.0,
        )
        self._granted: int | None = None
        self._turn = asyncio.Lock()

    async def negotiate(self, port: int | None = None) -> int:
        """A port to bind, ``port`` itself if it is given. Raises ``PortError``."""
        async with self._turn:
            if self._granted is not None and port in (None, self._granted):
                return self._granted
            import tenacity  # most modules never ask

            retrying = tenacity.AsyncRetrying(
                stop=tenacity.stop_after_attempt(self._settings.attempts),
                wait=self._pause,
                retry=tenacity.retry_if_exception_type(PortTimeout),
                sleep=self._sleep,
                reraise=True,
            )
            async for attempt in retrying:
                with attempt:
                    self._granted = await self._ask(port, attempt.retry_state.attempt_number - 1)
            assert self._granted is not None
            return self._granted

    def give_up(self, port: int) -> None:
        """``port`` cannot be bound: ask for another the next time."""
        if self._granted == port:
            self._granted = None

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Between half and all of what doubles each time, so that many modules do not ask at once."""
        full = min(self._settings.first_pause * 2.0 ** (state.attempt_number - 1), self._settings.longest_pause)
        return full * (0.5 + self._jitter() / 2)

    async def _ask(self, port: int | None, number: int) -> int:
        try:
            self._breaker.enter()
        except ServiceUnavailable as error:
            raise PortUnavailable(error.detail) from None
        request = PortRequest(request_id=self._new_id(), specific_port=port)
        timeout = min(self._settings.first_timeout + number, self._settings.longest_timeout)
        try:
            granted = self._checked(request, await self._link.request_port(request, timeout=timeout))
        except LinkTimeout:
            self._breaker.failed()
            _log.info("port_request_unanswered", request_id=request.request_id, attempt=number + 1)
            raise PortTimeout(f"the orchestrator gave no port in {timeout:g} s") from None
        except LinkClosed as error:
            self._breaker.failed()
            raise PortUnavailable(f"the orchestrator cannot be asked for a port: {error}") from None
        except PortRefused:
            self._breaker.failed()
            raise
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return granted

    def _checked(self, request: PortRequest, response: PortResponse) -> int:
        if response.request_id != request.request_id:
            raise PortRefused("the orchestrator answered another request than this one")
        if not response.success:
            raise PortRefused(f"the orchestrator gives no port: {response.error_message or 'no reason given'}")
        if response.port == 0 or request.specific_port not in (None, response.port):
            raise PortRefused(f"the orchestrator gave port {response.port}, which is not what it was asked for")
        return response.port
