"""What an operator may change about the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Times in seconds. ``subscribers`` counts WebSocket and SSE connections together.

    ``keepalive`` is the pause after which a quiet stream gets a sign of life, and within which a WebSocket must answer
    a ping; ``stall`` how long one message may wait for a reader that does not read. ``drain`` is what subscribers get
    to take their last messages when the service stops.
    """

    subscribers: int = 4_000
    subscribers_per_client: int = 100
    keepalive: float = 15.0
    stall: float = 30.0
    drain: float = 2.0
