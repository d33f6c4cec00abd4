"""The aiohttp application every service starts from: limits, request ids, one error form, health and metrics."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import hdrs, web
from multidict import istr

from sdk.core.errors import SdkError
from sdk.service.http_app.errors import code_of, error_response, status_of
from sdk.service.http_app.limits import InFlight, Limits, RateLimiter
from sdk.service.logging import get_logger, request_id_variable
from sdk.service.metrics import CONTENT_TYPE, HttpMetrics, create_registry, render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from prometheus_client import CollectorRegistry

    Check = Callable[[], Awaitable[str | None]]

log = get_logger(__name__)

OPERATIONS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Never limited: an overloaded service must still be able to say so."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REQUEST_ID_HEADER: Final = istr("X-Request-Id")
_SECURITY: Final = tuple(
    (istr(name), value)
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Cache-Control", "no-store"),
    )
)
_CORS: Final = tuple(
    (istr(name), value)
    for name, value in (
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", "*"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
    )
)


@dataclass(slots=True)
class Service:
    """What the middlewares share; ``app[SERVICE]``. ``arriving`` is how long bodies on their way are waited for."""

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
    arriving: set[asyncio.Timeout] = field(default_factory=set)
    stopping: bool = False

    def stop(self) -> None:
        """No longer ready; and a body that is not here yet never will be, for aiohttp reads no more."""
        self.stopping = True
        now = asyncio.get_running_loop().time()
        for each in self.arriving:
            each.reschedule(now)


def numbered_ids() -> Callable[[], str]:
    """Request ids that no other process gives: a random start, then a number."""
    start, numbers = secrets.token_hex(6), itertools.count(1)
    return lambda: f"{start}-{next(numbers):x}"


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
    request_id: Callable[[], str] | None = None,
) -> web.Application:
    """An application with ``/healthz``, ``/readyz`` and ``/metrics`` beside ``routes``.

    ``checks`` say whether the service is able to serve: each returns None, or why not. ``middlewares`` run inside the
    limits. With ``cors`` any web page may call, without cookies or credentials. Handlers raise ``SdkError`` or
    ``web.HTTPException``; anything else is a 500 whose details only the log has.
    """
    limits = limits or Limits()
    registry = registry or create_registry(name)
    service = Service(
        name=name,
        limits=limits,
        checks=dict(checks or {}),
        registry=registry,
        metrics=HttpMetrics(registry),
        rate=RateLimiter(limits.rate, limits.burst, keys=limits.clients, clock=clock),
        in_flight=InFlight(limits.in_flight, limits.in_flight_per_client),
        clock=clock,
        request_id=request_id or numbered_ids(),
        cors=cors,
    )
    service.metrics.in_flight.set_function(lambda: len(service.in_flight))
    gate = _Gate(service)
    app = web.Application(client_max_size=limits.body, middlewares=[gate.pass_through, *middlewares])
    app[SERVICE] = service
    app.on_response_prepare.append(gate.add_headers)
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
        request.config_dict[SERVICE].in_flight.leave(slot)


def bound_intake(request: web.Request, rate: float, burst: int, flooded: Callable[[], None]) -> RateLimiter:
    """For a connection that goes on for long: who sends over ``rate`` bytes a second, or ``burst`` at once, is cut off,
    whatever they are; ``flooded`` is told. A parser may swallow without end what never becomes a message: where only
    that is meant, bytes that became one are given back to the result, ``take("", -bytes)``."""
    limiter = RateLimiter(rate, burst, keys=1)
    bound = getattr(request.protocol, "bound_intake", None)
    if bound is not None:
        bound(limiter, flooded)
    return limiter


class _Gate:
    """What every request goes through: its id, the limits, its body, the form of its errors, and the figures."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._limits = service.limits

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        service = self._service
        headers_arrived = getattr(request.protocol, "headers_arrived", None)
        if headers_arrived is not None:
            headers_arrived()
        given = request.headers.get(_REQUEST_ID_HEADER)
        request_id = given if given and _REQUEST_ID.fullmatch(given) else service.request_id()
        request[REQUEST_ID] = request_id
        token = request_id_variable.set(request_id)
        started = service.clock()
        status = 500
        try:
            response = await self._answer(request, handler, request_id)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            seconds = service.clock() - started
            method = request.method if request.method in _METHODS else "OTHER"
            route = _route(request)
            service.metrics.count(method, route, status, seconds)
            log.debug("request", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 2))
            request_id_variable.reset(token)

    async def _answer(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        try:
            if (unreadable := unreadable_header(request)) is not None:
                raise web.HTTPBadRequest(text=f"the header {unreadable} is not UTF-8")
            if request.path in OPERATIONS:
                return await handler(request)
            client = client_address(request, self._limits.trusted_proxies)
            if self._is_preflight(request, client):
                return web.Response(status=204)
            self._enter(request, client)
            try:
                if request.body_exists:
                    await self._read_body(request)
                return await handler(request)
            finally:
                slot = request.pop(_SLOT, None)
                if slot is not None:
                    self._service.in_flight.leave(slot)
        except web.HTTPException as error:
            if error.status < 400 or error.content_type == "application/json":
                raise
            headers = {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After")}
            return error_response(error.status, code_of(error.status), _sentence(error), request_id, headers)
        except SdkError as error:
            return self._explain(error, request_id)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("request failed unexpectedly")
            return error_response(500, code_of(500), "the service failed; its log has the details", request_id)

    def _explain(self, error: SdkError, request_id: str) -> web.Response:
        status = status_of(error)
        if status >= 500:
            log.warning("request failed", code=error.code, error=str(error))
        description = str(error) if status != 500 else "the service failed; its log has the details"
        headers = {"Retry-After": "1"} if status == 503 else {}
        return error_response(status, error.code, description, request_id, headers)

    def _is_preflight(self, request: web.Request, client: str) -> bool:
        """Counts against the rate; a preflight is answered here."""
        service = self._service
        wait = service.rate.take(client)
        if wait > 0:
            service.metrics.refused.labels("rate").inc()
            raise web.HTTPTooManyRequests(
                text=f"more than {self._limits.rate:g} requests a second; slow down",
                headers={"Retry-After": str(max(1, round(wait + 0.5)))},
            )
        return service.cors and request.method == "OPTIONS" and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers

    def _enter(self, request: web.Request, client: str) -> None:
        if not self._service.in_flight.enter(client):
            self._service.metrics.refused.labels("in_flight").inc()
            raise web.HTTPServiceUnavailable(text="too many requests at once; try again", headers={"Retry-After": "1"})
        request[_SLOT] = client

    async def _read_body(self, request: web.Request) -> None:
        """The whole body is read before the handler runs, so that no handler can be held up by a slow sender."""
        limits, service = self._limits, self._service
        if (request.content_length or 0) > limits.body:
            raise web.HTTPRequestEntityTooLarge(limits.body, request.content_length or 0)
        patience = asyncio.timeout(0 if service.stopping else limits.body_timeout)
        service.arriving.add(patience)
        try:
            async with patience:
                await request.read()
        except TimeoutError:
            if service.stopping:
                raise web.HTTPServiceUnavailable(text="the service is stopping", headers={"Retry-After": "1"}) from None
            raise web.HTTPRequestTimeout(text=f"the body did not arrive within {limits.body_timeout:g} s") from None
        finally:
            service.arriving.discard(patience)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers[hdrs.SERVER] = "sdk"
        headers[_REQUEST_ID_HEADER] = request.get(REQUEST_ID, "")
        for name, value in _SECURITY:
            if name not in headers:
                headers[name] = value
        if not self._service.cors:
            return
        for name, value in _CORS:
            if name not in headers:
                headers[name] = value
        if request.method == "OPTIONS":
            wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "*")
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted if wanted.isprintable() else "*"
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"
            if request.headers.get("Access-Control-Request-Private-Network") == "true":
                headers["Access-Control-Allow-Private-Network"] = "true"


def unreadable_header(request: web.BaseRequest) -> str | None:
    """The name of a header that is not UTF-8: aiohttp hands it on as text that cannot be written, compared or stored.
    None if all are."""
    for name, value in request.raw_headers:
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                return name.decode("ascii", "replace")
    return None


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(none)"


def _sentence(error: web.HTTPException) -> str:
    text = error.text or error.reason
    return text.partition(": ")[2] if text.startswith(f"{error.status}: ") else text


# operations


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "service": request.app[SERVICE].name})


async def _readyz(request: web.Request) -> web.Response:
    """200 if the service is able to serve; otherwise 503 and what is not ready."""
    service = request.app[SERVICE]
    reasons = {"stop": "the service is stopping"} if service.stopping else {}
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
