"""What an operator may change about the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sdk.service.http_app import Limits

if TYPE_CHECKING:
    from sdk.chaintracks.settings import ChaintracksSettings

MAX_BODY: Final = 64 * 1024
"""Bytes of a request: a header as JSON has a few hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Times in seconds. ``subscribers`` counts WebSocket and SSE connections together.

    ``keepalive`` is the pause after which a quiet stream gets a sign of life, and within which a WebSocket must answer
    a ping; ``stall`` how long one message may wait for a reader that does not read. ``drain`` is what subscribers get
    to take their last messages when the service stops, and requests to be answered.
    """

    subscribers: int = 4_000
    subscribers_per_client: int = 100
    keepalive: float = 15.0
    stall: float = 30.0
    drain: float = 2.0

    @classmethod
    def of(cls, settings: ChaintracksSettings) -> ServerOptions:
        return cls(
            subscribers=settings.subscribers,
            subscribers_per_client=settings.subscribers_per_client,
            keepalive=settings.keepalive,
            stall=settings.stall,
            drain=settings.drain,
        )


def limits_of(settings: ChaintracksSettings) -> Limits:
    return Limits(
        body=MAX_BODY,
        rate=settings.rate,
        burst=settings.burst,
        in_flight=settings.in_flight,
        in_flight_per_client=settings.in_flight_per_client,
        connections=settings.connections,
        trusted_proxies=settings.trusted_proxies,
    )
