"""HTTP services on aiohttp: an application with limits, health, metrics and one error form; and how to run it."""

from sdk.service.http_app.app import (
    REQUEST_ID,
    SERVICE,
    bound_intake,
    client_address,
    create_app,
    long_lived,
    unreadable_header,
)
from sdk.service.http_app.connection_log import ConnectionLog
from sdk.service.http_app.errors import error_response
from sdk.service.http_app.limits import InFlight, Limits, RateLimiter
from sdk.service.http_app.server import Running, listen, running, serve

__all__ = [
    "REQUEST_ID",
    "SERVICE",
    "ConnectionLog",
    "InFlight",
    "Limits",
    "RateLimiter",
    "Running",
    "bound_intake",
    "client_address",
    "create_app",
    "error_response",
    "listen",
    "long_lived",
    "running",
    "serve",
    "unreadable_header",
]
