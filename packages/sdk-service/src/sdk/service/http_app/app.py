"""The aiohttp application every service starts from: limits, request ids, one error form, health and metrics."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import orjson
import structlog
from aiohttp import web

from sdk.core.errors import SdkError
from sdk.service.http_app.errors import code_of, error_response, status_of
from sdk.service.http_app.limits import InFlight, Limits, RateLimiter
from sdk.service.logging import get_logger
from sdk.service.metrics import CONTENT_TYPE, HttpMetrics, create_registry, render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from prometheus_client import CollectorRegistry

    Check = Callable[[], Awaitable[str | None]]

log = get_logger(__name__)

OPERATIONS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Never limited: an overloaded service must still be able to say so."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Server": "sdk",
}


@dataclass(slots=True)
class Service:
    """What the middlewares share; ``app[SERVICE]``. ``draining`` is set when the stop begins."""

    name: str
    limits: Limits
    checks: Mapping[str, Check]
    registry: CollectorRegistry
    metrics: HttpMetrics
    rate: RateLimiter
    in_flight: InFlight
    clock: Callable[[], float]
    request_id: Callable[[], str]
    cors: bool
    draining: asyncio.Event = field(default_factory=asyncio.Event)


SERVICE: Final = web.AppKey("sdk.service", Service)
REQUEST_ID: Final = web.RequestKey("sdk.request_id", str)
_SLOT: Final = web.RequestKey("sdk.slot", str)


def create_app(
    name: str,
    routes: Iterable[web.AbstractRouteDef] = (),
    *,
    limits: Limits | None = None,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
    middlewares: Iterable[Middleware] = (),
    cors: bool = True,
    clock: Callable[[], float] = time.monotonic,
    request_id: Callable[[], str] = lambda: uuid4().hex,
) -> web.Application:
    """An application with ``/healthz``, ``/readyz`` and ``/metrics`` beside ``routes``.

    ``checks`` say whether the service is able to serve: each returns None, or why not. ``middlewares`` run inside the
    limits. With ``cors`` any web page may call, without cookies or credentials. Handlers raise ``SdkError`` or
    ``web.HTTPException``; anything else is a 500 whose details only the log has.
    """
    limits = limits or Limits()
    registry = registry or create_registry(name)
    app = web.Application(
        client_max_size=limits.body,
        middlewares=[_observe, _errors, _limit, _body, *middlewares],
    )
    app[SERVICE] = Service(
        name=name,
        limits=limits,
        checks=dict(checks or {}),
        registry=registry,
        metrics=HttpMetrics(registry),
        rate=RateLimiter(limits.rate, limits.burst, keys=limits.clients, clock=clock),
        in_flight=InFlight(limits.in_flight, limits.in_flight_per_client),
        clock=clock,
        request_id=request_id,
        cors=cors,
    )
    app.on_response_prepare.append(_headers)
    app.add_routes([web.get("/healthz", _healthz), web.get("/readyz", _readyz), web.get("/metrics", _metrics)])
    app.add_routes(routes)
    return app


def client_address(request: web.BaseRequest, trusted_proxies: int) -> str:
    """The address that is asked for: the peer's, or what the outermost trusted proxy saw."""
    if trusted_proxies > 0:
        hops = [
            hop.strip() for hop in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",") if hop.strip()
        ]
        if hops:
            return hops[-trusted_proxies] if len(hops) >= trusted_proxies else hops[0]
    return request.remote or "unknown"


def long_lived(request: web.Request) -> None:
    """Called by a handler that goes on for long (WebSocket, SSE): it no longer counts as a request in flight."""
    slot = request.pop(_SLOT, None)
    if slot is not None:
        service = request.app[SERVICE]
        service.in_flight.leave(slot)
        service.metrics.in_flight.dec()


# middlewares, outermost first


@web.middleware
async def _observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Request id, log line and metrics."""
    service = request.config_dict[SERVICE]
    protocol = request.protocol
    if hasattr(protocol, "headers_arrived"):
        protocol.headers_arrived()
    given = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else service.request_id()
    started = service.clock()
    status = 500
    with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]):
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            seconds = service.clock() - started
            route = _route(request)
            method = request.method if request.method in _METHODS else "OTHER"
            service.metrics.requests.labels(method, route, status).inc()
            service.metrics.seconds.labels(method, route).observe(seconds)
            log.debug("request", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 2))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(none)"


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = request[REQUEST_ID]
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/json":
            raise
        headers = {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After")}
        return error_response(error.status, code_of(error.status), _sentence(error), request_id, headers)
    except SdkError as error:
        status = status_of(error)
        if status >= 500:
            log.warning("request failed", code=error.code, error=str(error))
        description = str(error) if status != 500 else "the service failed; its log has the details"
        headers = {"Retry-After": "1"} if status == 503 else {}
        return error_response(status, error.code, description, request_id, headers)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("request failed unexpectedly")
        return error_response(500, code_of(500), "the service failed; its log has the details", request_id)


def _sentence(error: web.HTTPException) -> str:
    text = error.text or error.reason
    return text.partition(": ")[2] if text.startswith(f"{error.status}: ") else text


@web.middleware
async def _limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    service = request.config_dict[SERVICE]
    if request.path in OPERATIONS:
        return await handler(request)
    client = client_address(request, service.limits.trusted_proxies)
    wait = service.rate.take(client)
    if wait > 0:
        service.metrics.refused.labels("rate").inc()
        raise web.HTTPTooManyRequests(
            text=f"more than {service.limits.rate:g} requests a second; slow down",
            headers={"Retry-After": str(max(1, round(wait + 0.5)))},
        )
    if service.cors and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)
    if not service.in_flight.enter(client):
        service.metrics.refused.labels("in_flight").inc()
        raise web.HTTPServiceUnavailable(text="too many requests at once; try again", headers={"Retry-After": "1"})
    service.metrics.in_flight.inc()
    request[_SLOT] = client
    try:
        return await handler(request)
    finally:
        long_lived(request)


@web.middleware
async def _body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The whole body is read before the handler runs, so that no handler can be held up by a slow sender."""
    if not request.body_exists:
        return await handler(request)
    limits = request.config_dict[SERVICE].limits
    if (request.content_length or 0) > limits.body:
        raise web.HTTPRequestEntityTooLarge(limits.body, request.content_length or 0)
    try:
        async with asyncio.timeout(limits.body_timeout):
            await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not arrive within {limits.body_timeout:g} s") from None
    return await handler(request)


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    service = request.config_dict[SERVICE]
    for name, value in _SECURITY.items():
        if name == "Server":
            response.headers[name] = value
        else:
            response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    if not service.cors:
        return
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "*"
    response.headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin")
    if request.method == "OPTIONS":
        wanted = request.headers.get("Access-Control-Request-Headers", "*")
        response.headers["Access-Control-Allow-Headers"] = wanted if wanted.isprintable() else "*"
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
        response.headers["Access-Control-Max-Age"] = "600"
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"


# operations


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "service": request.app[SERVICE].name})


async def _readyz(request: web.Request) -> web.Response:
    """200 if the service is able to serve; otherwise 503 and what is not ready."""
    service = request.app[SERVICE]
    reasons = {"stop": "the service is stopping"} if service.draining.is_set() else {}
    for name, check in service.checks.items():
        reason = await _checked(name, check)
        if reason is not None:
            reasons[name] = reason
    body = {"status": "not ready" if reasons else "ready", "service": service.name, "reasons": reasons}
    return web.Response(status=503 if reasons else 200, body=orjson.dumps(body), content_type="application/json")


async def _checked(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(5):
            return await check()
    except TimeoutError:
        return "no answer within 5 s"
    except SdkError as error:
        return str(error)
    except Exception as error:
        log.exception("readiness check failed", check=name)
        return f"the check failed: {type(error).__name__}"


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=render(request.app[SERVICE].registry), headers={"Content-Type": CONTENT_TYPE})
