"""One HTTP address for the endpoints that modules announce."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import secrets
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import ClientError, hdrs, web

from sdk.core.errors import SdkError
from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.orchestrator.conversation import Unreachable
from sdk.module_runtime.orchestrator.endpoints import RouteTable, route_of
from sdk.module_runtime.orchestrator.forwarding import SPOKEN_BY_US, end_to_end
from sdk.module_runtime.orchestrator.lasting import Lasting, TooMany
from sdk.module_runtime.orchestrator.refusal import COME_AGAIN, Refused, too_late, unreachable
from sdk.module_runtime.orchestrator.upstream import BodyTooLarge, Upstreams
from sdk.module_runtime.orchestrator.websockets import WebSockets, is_websocket
from sdk.service.http_app import error_response, unreadable_header
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.endpoints import Route
    from sdk.module_runtime.orchestrator.stack import Gateway as Settings
    from sdk.module_runtime.orchestrator.stack import Module
    from sdk.module_runtime.orchestrator.upstream import Answer

_log = get_logger(__name__)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
LONGEST_UPLOAD: Final = 600.0
"""Seconds."""
_NO_BODY: Final = frozenset((204, 304))
_OUR_HEADERS: Final = SPOKEN_BY_US | {"host", "content-length", "expect"}
_NOT_OF_A_MODULE: Final = frozenset(("content-length", "server", "date", "x-request-id"))


class Unauthorized(RuntimeModuleError):
    """``status`` 401: who is it? 403: not allowed. 503: nobody here can tell."""

    code = "ERR_UNAUTHORIZED"

    def __init__(self, description: str, status: int = 401) -> None:
        self.status = status
        super().__init__(description)


class Authorizer(Protocol):
    """Judges requests to endpoints that were announced with ``auth``."""

    async def authorize(self, auth: str, module_id: str, authorization: str | None) -> Mapping[str, str]:
        """Headers that tell the module who asks, from ``SPOKEN_BY_US``. ``Unauthorized``.

        ``X-Auth-Claims`` is a JSON object, and its ``exp`` the end of what goes on for long.
        """
        ...


class Gateway:
    """``app`` serves. What modules announce is taken up by ``refresh``."""

    def __init__(
        self,
        settings: Settings,
        modules: Mapping[str, Module],
        conversations: Mapping[str, Conversation],
        authorizer: Authorizer | None = None,
    ) -> None:
        self._settings, self._modules, self._conversations = settings, modules, conversations
        self._authorizer = authorizer
        self._upstreams = Upstreams()
        self._of_module: dict[str, list[Route]] = {}
        self._table = RouteTable()
        self._in_flight: Counter[str] = Counter()
        self._lasting = Lasting(settings.streams, settings.streams_per_client)
        self._websockets = WebSockets(settings, self._upstreams)
        self._request_id = _numbered()
        self.answered: Counter[tuple[str, int]] = Counter()
        """By module (empty if none) and status."""
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._handle)
        self.app.on_shutdown.append(self._end_websockets)
        self.app.on_cleanup.append(self._close)

    def refresh(self, conversation: Conversation) -> list[str]:
        """Take up what a module has announced; the answer says what could not be."""
        module = self._modules.get(conversation.module_id)
        announcement = conversation.announcement
        if announcement is None:
            return []
        routes, problems = [], []
        for endpoint in announcement.endpoints:
            try:
                routes.append(route_of(conversation.module_id, endpoint, module.mount if module else ""))
            except ValueError as error:
                problems.append(f"{endpoint.path[:128]!r}: {error}")
        self._of_module[conversation.module_id] = routes
        self._rebuild()
        return problems

    def _rebuild(self) -> None:
        order = list(self._modules)
        owners = sorted(self._of_module, key=lambda name: order.index(name) if name in order else len(order))
        self._table = RouteTable(route for owner in owners for route in self._of_module[owner])

    async def forget(self, conversation: Conversation) -> None:
        """An instance is gone. The stack's modules come back: requests for them are told to come again."""
        name = conversation.module_id
        if name not in self._modules and name not in self._conversations and name in self._of_module:
            del self._of_module[name]
            self._rebuild()
        await self._upstreams.forget(conversation)

    @property
    def endpoints(self) -> list[Route]:
        return [route for routes in self._of_module.values() for route in routes]

    @property
    def lasting(self) -> Counter[str]:
        """WebSockets and event streams that are open, by module."""
        return self._lasting.of_module

    async def _end_websockets(self, app: web.Application) -> None:
        self._websockets.end()

    async def _close(self, app: web.Application) -> None:
        await self._upstreams.close()

    # --- one request ---

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers_arrived = getattr(request.protocol, "headers_arrived", None)
        if headers_arrived is not None:
            headers_arrived()
        given = request.headers.get("X-Request-Id")
        request_id = given if given and _REQUEST_ID.fullmatch(given) else self._request_id()
        module_id = ""
        try:
            if (unreadable := unreadable_header(request)) is not None:
                raise Refused(400, "ERR_HEADER", f"the header {unreadable} is not UTF-8")
            route = self._route(request)
            module_id = route.module_id
            response = await self._pass_on(request, route, request_id)
        except Refused as refused:
            response = error_response(refused.status, refused.code, refused.description, request_id, refused.headers)
            response.headers["X-Request-Id"] = request_id
        self.answered[module_id, response.status] += 1
        return response

    def _route(self, request: web.Request) -> Route:
        found = self._table.find(request.method, request.rel_url.raw_path)
        if found is None:
            raise Refused(404, "ERR_NO_ENDPOINT", "no module has announced this path")
        if found.route is None:
            allowed = ", ".join(sorted(found.allowed))
            raise Refused(405, "ERR_METHOD", f"this path takes {allowed}", {"Allow": allowed})
        return found.route

    async def _pass_on(self, request: web.Request, route: Route, request_id: str) -> web.StreamResponse:
        identity = await self._authorized(request, route)
        if (request.content_length or 0) > self._settings.largest_body:
            raise _too_large(self._settings.largest_body)
        conversation = self._conversations.get(route.module_id)
        if conversation is None or not conversation.is_ready or conversation.is_draining:
            raise Refused(503, "ERR_MODULE_NOT_READY", f"{route.module_id} is not ready", COME_AGAIN)
        headers = _passed(request, request_id, identity)
        if is_websocket(request):
            with self._counted(request, conversation):
                return await self._websockets.pass_on(request, conversation, headers, request_id, _lives(identity))
        with ExitStack() as slot:
            slot.enter_context(self._working(conversation.module_id))
            answer = await self._ask(request, conversation, headers)
            try:
                if not answer.is_event_stream:
                    return await self._reply(request, answer, request_id, self._settings.timeout)
                with self._counted(request, conversation):
                    slot.close()
                    return await self._reply(request, answer, request_id, self._settings.idle, _lives(identity))
            finally:
                answer.close()

    @contextmanager
    def _working(self, module_id: str) -> Iterator[None]:
        if self._in_flight[module_id] >= self._settings.in_flight:
            raise Refused(503, "ERR_MODULE_BUSY", f"{module_id} has enough to do", COME_AGAIN)
        self._in_flight[module_id] += 1
        try:
            yield
        finally:
            self._in_flight[module_id] -= 1

    @contextmanager
    def _counted(self, request: web.Request, conversation: Conversation) -> Iterator[None]:
        try:
            with self._lasting.counted(conversation.module_id, request.remote or ""):
                yield
        except TooMany as error:
            raise Refused(429 if error.of_client else 503, error.code, str(error), COME_AGAIN) from None

    async def _authorized(self, request: web.Request, route: Route) -> Mapping[str, str]:
        if route.auth is None:
            return {}
        given = request.headers.getall(hdrs.AUTHORIZATION, [])
        if len(given) > 1:  # the module might believe another one than was judged
            raise Refused(400, "ERR_TWO_AUTHORIZATIONS", "give one Authorization header")
        if self._authorizer is None:
            raise Refused(503, "ERR_NO_AUTHORIZER", "this endpoint wants authorization, which is not set up here")
        try:
            return await self._authorizer.authorize(route.auth, route.module_id, given[0] if given else None)
        except Unauthorized as error:
            challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            raise Refused(error.status, error.code, str(error), challenge) from None
        except SdkError as error:
            _log.error("authorizer_failed", module_id=route.module_id, reason=str(error))
            raise Refused(503, "ERR_AUTHORIZER", "authorization cannot be checked now", COME_AGAIN) from None

    async def _ask(self, request: web.Request, conversation: Conversation, headers: list[tuple[str, str]]) -> Answer:
        body = _Body(request, self._settings.largest_body, self._settings.timeout) if request.body_exists else None
        if body is not None and request.content_length is not None:
            headers.append(("Content-Length", str(request.content_length)))
        try:
            async with asyncio.timeout(self._settings.timeout) as patience:
                if body is not None:
                    body.patience = patience
                return await self._upstreams.send(
                    conversation, request.method, request.rel_url.raw_path_qs, headers, aiter(body) if body else None
                )
        except TimeoutError:
            raise too_late(conversation.module_id, self._settings.timeout) from None
        except BodyTooLarge as error:
            raise _too_large(error.limit) from None
        except Unreachable as error:
            if body is not None and body.is_too_large:
                raise _too_large(self._settings.largest_body) from None
            _log.warning("module_unreachable", module_id=conversation.module_id, reason=str(error))
            raise unreachable(error.code, conversation.module_id) from None
        finally:
            if body is not None:
                body.patience = None  # the answer has begun: what of the body is still to come takes its time

    async def _reply(
        self, request: web.Request, answer: Answer, request_id: str, pause: float, lives: float | None = None
    ) -> web.StreamResponse:
        """``pause``: seconds between parts of the answer. After ``lives`` seconds no more of it is passed on."""
        connection = next((value for name, value in answer.headers if name.lower() == "connection"), "")
        headers = [*end_to_end(answer.headers, connection, _NOT_OF_A_MODULE), ("X-Request-Id", request_id)]
        if isinstance(answer.body, bytes):
            response = web.Response(status=answer.status, body=None if answer.status in _NO_BODY else answer.body)
            response.headers.popall(hdrs.CONTENT_TYPE, None)
            response.headers.extend(headers)
            return response
        streamed = web.StreamResponse(status=answer.status)
        streamed.headers.extend(headers)
        length = next((value for name, value in answer.headers if name.lower() == "content-length"), None)
        if length is not None:
            streamed.headers[hdrs.CONTENT_LENGTH] = length
        await streamed.prepare(request)
        try:
            async for chunk in _within(answer.body, pause, lives):
                await streamed.write(chunk)
        except (ClientError, TimeoutError, OSError) as error:
            # the status is out: an unfinished body is the only way left to say that it failed
            _log.warning("answer_broken_off", request_id=request_id, reason=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
            return streamed
        await streamed.write_eof()
        return streamed


async def _within(parts: AsyncIterator[bytes], pause: float, lives: float | None) -> AsyncIterator[bytes]:
    """``TimeoutError`` after ``pause`` seconds without a part; after ``lives`` seconds there are no more."""
    clock = asyncio.get_running_loop().time
    end = math.inf if lives is None else clock() + lives
    while (left := end - clock()) > 0:
        try:
            async with asyncio.timeout(min(pause, left)):
                part = await anext(parts, None)
        except TimeoutError:
            if clock() < end:
                raise
            return
        if part is None:
            return
        yield part


class _Body:
    """What the client sends, as it comes, up to ``limit`` bytes."""

    def __init__(self, request: web.Request, limit: int, seconds: float) -> None:
        self._seconds = seconds
        self._request, self._limit = request, limit
        self.is_too_large = False
        self.patience: asyncio.Timeout | None = None
        """Begins anew with each part that comes, but not for ever."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, clock = 0, asyncio.get_running_loop().time
        last = clock() + LONGEST_UPLOAD
        async for chunk in self._request.content.iter_any():
            if self.patience is not None and not self.patience.expired():
                self.patience.reschedule(min(clock() + self._seconds, last))
            size += len(chunk)
            if size > self._limit:
                self.is_too_large = True
                raise BodyTooLarge(self._limit)
            yield chunk


def _passed(request: web.Request, request_id: str, identity: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers for the module."""
    return [
        *end_to_end(request.headers.items(), request.headers.get(hdrs.CONNECTION, ""), _OUR_HEADERS),
        ("Host", request.host),
        ("X-Request-Id", request_id),
        ("X-Forwarded-For", request.remote or "unknown"),
        ("X-Forwarded-Proto", request.scheme),
        ("X-Forwarded-Host", request.host),
        *identity.items(),
    ]


def _lives(identity: Mapping[str, str]) -> float | None:
    """Seconds until the token expires that was shown; None if none was, or it never does."""
    claims = json.loads(identity.get("X-Auth-Claims", "{}"))
    return claims["exp"] - time.time() if "exp" in claims else None


def _too_large(limit: int) -> Refused:
    return Refused(413, "ERR_BODY_TOO_LARGE", f"a body may have {limit} bytes")


def _numbered() -> Callable[[], str]:
    start, numbers = secrets.token_hex(6), itertools.count(1)
    return lambda: f"{start}-{next(numbers):x}"
