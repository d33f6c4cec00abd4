"""HTTP towards other services: bounded in time, size and attempts, with typed failures.

No answer here is a verdict about anything but the request itself: whatever is not a clear answer is
``ServiceUnavailable``, and ``ServiceRejected`` says only that the service refused the request.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson
import tenacity

from sdk.core.errors import ServiceRejected, ServiceUnavailable
from sdk.service import failpoints
from sdk.service.breaker import Breaker
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from ssl import SSLContext
    from types import TracebackType

    from multidict import CIMultiDictProxy

MIB: Final = 1024 * 1024
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that say nothing about the request: it may be sent again if it is idempotent."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete answer. ``body`` is decompressed and no longer than the client's limit."""

    service: str
    method: str
    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The decoded body. Raises ``ServiceUnavailable`` unless it says that it is JSON, and is."""
        kind = self.content_type
        if kind != "application/json" and not kind.endswith("+json"):
            raise ServiceUnavailable(
                self.service,
                f"answered {kind or 'no content type'} where JSON was expected: {self.excerpt()}",
                status=self.status,
            )
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise ServiceUnavailable(self.service, f"answered broken JSON: {error}", status=self.status) from error

    def excerpt(self, length: int = 200) -> str:
        """The start of the body, fit for a log line."""
        text = " ".join(self.body[: 4 * length].decode("utf-8", "replace").split())
        return "".join(c for c in text if c.isprintable())[:length]

    def reason(self) -> str:
        """What the service says went wrong, as far as it can be told."""
        if self.content_type.endswith("json"):
            try:
                document = orjson.loads(self.body)
            except orjson.JSONDecodeError:
                return self.excerpt()
            if isinstance(document, dict):
                for name in ("detail", "description", "message", "error", "title"):
                    if isinstance(document.get(name), str):
                        return str(document[name])[:500]
        return self.excerpt() or "no reason given"

    def require(self) -> HttpResponse:
        """This response if it is a success. Raises ``ServiceUnavailable`` or ``ServiceRejected``."""
        if self.ok:
            return self
        if 300 <= self.status < 400:
            where = self.headers.get("Location", "nowhere")
            raise ServiceUnavailable(self.service, f"redirects to {where}: configure that address", status=self.status)
        if self.status >= 500 or self.status in TRANSIENT:
            raise ServiceUnavailable(self.service, self.reason(), status=self.status)
        raise ServiceRejected(self.service, self.reason(), status=self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPolicy:
    """Times are seconds, sizes bytes. ``attempts`` counts the first; back-off doubles from ``backoff``, with jitter.

    A ``Retry-After`` beyond ``max_wait`` ends the attempts. After ``breaker_threshold`` failures in a row the service
    is left alone for ``breaker_rest``, then twice as long after each further one, up to ``breaker_longest_rest``.
    """

    timeout: float = 30.0
    connect_timeout: float = 5.0
    max_response: int = 32 * MIB
    attempts: int = 3
    backoff: float = 0.25
    max_wait: float = 20.0
    max_redirects: int = 0
    max_connections: int = 64
    breaker_threshold: int = 5
    breaker_rest: float = 1.0
    breaker_longest_rest: float = 30.0
    trust_env: bool = False


class _Transient(Exception):
    """An attempt that may be made again."""

    def __init__(
        self, error: ServiceUnavailable, *, sent: bool, wait: float | None = None, response: HttpResponse | None = None
    ) -> None:
        self.error, self.sent, self.wait, self.response = error, sent, wait, response
        super().__init__(str(error))


class HttpClient:
    """A client of one service. Make it anywhere; it connects on first use; ``await close()`` it in the same loop.

    ``service`` names it in errors and logs. ``clock`` (monotonic seconds), ``sleep`` and ``jitter`` (0 to 1) are
    injected by tests. Cookies are neither kept nor sent.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        service: str,
        headers: Mapping[str, str] | None = None,
        policy: HttpPolicy | None = None,
        ssl: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.service = service
        self.policy = policy or HttpPolicy()
        self._base = base_url.rstrip("/")
        self._headers = dict(headers or {})
        self._ssl = ssl
        self._sleep, self._jitter, self._wall_clock = sleep, jitter, wall_clock
        self.breaker = Breaker(
            service,
            threshold=self.policy.breaker_threshold,
            first_rest=self.policy.breaker_rest,
            longest_rest=self.policy.breaker_longest_rest,
            clock=clock,
            jitter=jitter,
        )
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    # calls

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        data: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_response: int | None = None,
        idempotent: bool | None = None,
        check: bool = True,
    ) -> HttpResponse:
        """Send, with further attempts if the request is idempotent (by its method, unless ``idempotent`` says).

        A request that never left, because no connection could be made, is always tried again. With ``check`` off the
        last answer is returned whatever its status; else a status outside 2xx raises ``ServiceUnavailable`` (5xx and
        other transient ones) or ``ServiceRejected``. No answer at all raises ``ServiceUnavailable``.
        """
        body = orjson.dumps(json) if json is not None else data.encode() if isinstance(data, str) else data
        sent = {
            **self._headers,
            **({"Content-Type": "application/json"} if json is not None else {}),
            **(headers or {}),
        }
        repeatable = method in IDEMPOTENT if idempotent is None else idempotent
        attempt = _Attempt(method, path, params, body, sent, timeout or self.policy.timeout, max_response)
        try:
            response = await self._attempts(attempt, repeatable)
        except _Transient as error:
            if error.response is None:
                raise error.error from error.__cause__
            response = error.response
        return response.require() if check else response

    async def get_json(self, path: str, **options: Any) -> Any:
        return (await self.request("GET", path, **options)).json()

    async def post_json(self, path: str, json: Any, **options: Any) -> Any:
        return (await self.request("POST", path, json=json, **options)).json()

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    # inside

    async def _attempts(self, attempt: _Attempt, repeatable: bool) -> HttpResponse:
        def again(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            return (
                isinstance(error, _Transient)
                and (repeatable or not error.sent)
                and (error.wait is None or error.wait <= self.policy.max_wait)
            )

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, _Transient) and error.wait is not None:
                return error.wait
            ceiling = min(self.policy.max_wait, self.policy.backoff * 2.0 ** (state.attempt_number - 1))
            return ceiling * (0.5 + 0.5 * self._jitter())

        def note(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.info("request is sent again", service=self.service, attempt=state.attempt_number, reason=str(error))

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.policy.attempts),
            retry=again,
            wait=wait,
            before_sleep=note,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._once, attempt)

    async def _once(self, attempt: _Attempt) -> HttpResponse:
        self.breaker.enter()
        try:
            response = await self._send(attempt)
        except _Transient as fault:
            self.breaker.failed(fault.error.detail)
            raise
        except BaseException:
            self.breaker.abandoned()
            raise
        if response.status not in TRANSIENT:
            self.breaker.succeeded()
            return response
        if response.status == 429:
            self.breaker.abandoned()
        else:
            self.breaker.failed(f"HTTP {response.status}, {response.reason()}")
        error = ServiceUnavailable(self.service, response.reason(), status=response.status)
        raise _Transient(error, sent=True, wait=self._retry_after(response), response=response)

    async def _send(self, attempt: _Attempt) -> HttpResponse:
        session = self._open_session()
        if failpoints.active:
            failpoints.reach(f"http.before {self.service} {attempt.method}")
        try:
            response = await self._exchange(session, attempt)
        except aiohttp.ClientConnectorError as error:
            raise self._transient(_unreachable(error), sent=False) from error
        except aiohttp.ConnectionTimeoutError as error:
            detail = f"cannot be reached: no connection within {self.policy.connect_timeout:g} s"
            raise self._transient(detail, sent=False) from error
        except TimeoutError as error:
            raise self._transient(f"did not answer within {attempt.timeout:g} s", sent=True) from error
        except aiohttp.TooManyRedirects as error:
            raise self._transient("redirects in a circle", sent=True) from error
        except aiohttp.InvalidURL as error:
            raise ServiceUnavailable(self.service, f"{error.url} is no address") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._transient(f"broke off: {_reason(error)}", sent=True) from error
        if failpoints.active:
            failpoints.reach(f"http.after {self.service} {attempt.method}")
        return response

    async def _exchange(self, session: aiohttp.ClientSession, attempt: _Attempt) -> HttpResponse:
        async with session.request(
            attempt.method,
            attempt.path if "://" in attempt.path else f"{self._base}{attempt.path}",
            params=attempt.params,
            data=attempt.body,
            headers=attempt.headers,
            allow_redirects=self.policy.max_redirects > 0,
            max_redirects=max(1, self.policy.max_redirects),
            timeout=aiohttp.ClientTimeout(total=attempt.timeout, connect=self.policy.connect_timeout),
        ) as answer:
            body = await self._read(answer, attempt.max_response or self.policy.max_response)
            return HttpResponse(self.service, attempt.method, str(answer.url), answer.status, answer.headers, body)

    async def _read(self, answer: aiohttp.ClientResponse, limit: int) -> bytes:
        too_long = ServiceUnavailable(self.service, f"answered more than {limit} bytes", status=answer.status)
        if (answer.content_length or 0) > limit:
            raise too_long
        parts, size = [], 0
        async for part in answer.content.iter_chunked(64 * 1024):
            size += len(part)
            if size > limit:
                raise too_long
            parts.append(part)
        return b"".join(parts)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ServiceUnavailable(self.service, "this client is closed")
        if self._session is None:
            options: dict[str, Any] = {} if self._ssl is None else {"ssl": self._ssl}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.policy.max_connections, **options),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self.policy.trust_env,
            )
        return self._session

    def _transient(self, detail: str, *, sent: bool) -> _Transient:
        return _Transient(ServiceUnavailable(self.service, detail), sent=sent)

    def _retry_after(self, response: HttpResponse) -> float | None:
        """RFC 9110 §10.2.3: seconds, or a date."""
        value = response.headers.get("Retry-After", "").strip()
        if not value:
            return None
        if value.isdecimal():
            return float(value[:9])
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._wall_clock())
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class _Attempt:
    method: str
    path: str
    params: Mapping[str, str | int] | None
    body: bytes | None
    headers: Mapping[str, str]
    timeout: float
    max_response: int | None


def _unreachable(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    # aiohttp's own words for a refused connection name neither the fault nor the remedy
    reason = os.strerror(cause.errno) if cause.errno is not None and cause.errno > 0 else cause.strerror or str(cause)
    where = f"{error.host}:{error.port}"
    return f"cannot be reached at {where} ({reason}): check that it runs there and that its address is right"


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
