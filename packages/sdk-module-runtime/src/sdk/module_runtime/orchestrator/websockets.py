"""WebSockets of the gateway: the handshake with the module first, and only then with the client."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, hdrs, web

from sdk.module_runtime.orchestrator.conversation import Unreachable
from sdk.module_runtime.orchestrator.forwarding import end_to_end
from sdk.module_runtime.orchestrator.refusal import Refused, too_late, unreachable
from sdk.module_runtime.orchestrator.tunnel import (
    CLIENT_GONE,
    CLOSE_WITHIN,
    EXPIRED,
    STOPPING,
    Close,
    Tunnel,
    close_module,
)
from sdk.module_runtime.orchestrator.upstream import NotUpgraded, address_of
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiohttp import ClientWebSocketResponse

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.stack import Gateway as Settings
    from sdk.module_runtime.orchestrator.upstream import Upstreams

_log = get_logger(__name__)
LAST_WORDS: Final = 1.0
"""Seconds in which a module that stops may say what it has left, and close by itself."""
MOST_PROTOCOLS: Final = 16
_PROTOCOL: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,512}", re.ASCII)
_OF_HANDSHAKE: Final = frozenset(
    (
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    )
)
_NOT_OF_A_MODULE: Final = _OF_HANDSHAKE | {"content-length", "server", "date", "x-request-id"}


def is_websocket(request: web.Request) -> bool:
    """Whether it asks for one; any other ``Upgrade`` may be passed over (RFC 9110 §7.8)."""
    return "websocket" in [each.strip().lower() for each in request.headers.get(hdrs.UPGRADE, "").split(",")]


class WebSockets:
    def __init__(self, settings: Settings, upstreams: Upstreams) -> None:
        self._settings, self._upstreams = settings, upstreams
        self._open: set[Tunnel] = set()

    async def pass_on(
        self,
        request: web.Request,
        conversation: Conversation,
        headers: Sequence[tuple[str, str]],
        request_id: str,
        lives: float | None,
    ) -> web.StreamResponse:
        """Until it has ended. ``lives``: seconds until who asks must show a new token. ``Refused``."""
        protocols = _protocols(request)
        asked = web.WebSocketResponse(protocols=protocols or ("",), compress=False)
        if request.method != "GET" or request.version < HttpVersion11 or not asked.can_prepare(request):
            needed = {"Sec-WebSocket-Version": "13"}
            raise Refused(400, "ERR_HANDSHAKE", "this is no handshake of a WebSocket (RFC 6455 §4.1)", needed)
        try:
            async with asyncio.timeout(self._settings.timeout):
                module = await self._connect(request, conversation, headers, protocols)
        except TimeoutError:
            raise too_late(conversation.module_id, self._settings.timeout) from None
        except NotUpgraded as answer:
            return _instead(answer, conversation.module_id, request_id)
        try:
            client = await self._accept(request, module, request_id)
            tunnel = Tunnel(
                request,
                client,
                module,
                idle=self._settings.idle,
                largest_message=self._settings.largest_message,
            )
        except BaseException:
            await close_module(module, CLIENT_GONE)
            raise
        with self._kept(tunnel), _ended_at(tunnel, conversation, lives):
            await tunnel.run()
        return client

    def end(self) -> None:
        """The gateway stops."""
        for tunnel in self._open:
            tunnel.end(Close(STOPPING.code, b"the gateway is stopping"))

    async def _connect(
        self,
        request: web.Request,
        conversation: Conversation,
        headers: Sequence[tuple[str, str]],
        protocols: Sequence[str],
    ) -> ClientWebSocketResponse[bool]:
        where = address_of(conversation)
        if where is None:
            raise Refused(
                501,
                "ERR_NO_WEBSOCKET",
                f"{conversation.module_id} is reached by messages alone, which carry no WebSocket: "
                "let it listen on a port or a socket (`listen` in the stack file)",
            )
        passed = [(name, value) for name, value in headers if name.lower() not in _OF_HANDSHAKE]
        uri, largest = request.rel_url.raw_path_qs, self._settings.largest_message
        try:
            return await self._upstreams.websocket(
                conversation, where, uri, passed, protocols, largest_message=largest, close_within=CLOSE_WITHIN
            )
        except Unreachable as error:
            _log.warning("module_unreachable", module_id=conversation.module_id, reason=str(error))
            raise unreachable(error.code, conversation.module_id) from None

    async def _accept(
        self, request: web.Request, module: ClientWebSocketResponse[bool], request_id: str
    ) -> web.WebSocketResponse[bool]:
        client: web.WebSocketResponse[bool] = web.WebSocketResponse(
            timeout=CLOSE_WITHIN,
            autoclose=False,
            autoping=False,
            protocols=() if module.protocol is None else (module.protocol,),
            compress=False,
            max_msg_size=self._settings.largest_message,
            decode_text=False,
        )
        answered = module._response.headers  # of the handshake; aiohttp shows them nowhere else
        client.headers.extend([*end_to_end(answered.items(), "", _NOT_OF_A_MODULE), ("X-Request-Id", request_id)])
        if module.protocol is None and hdrs.SEC_WEBSOCKET_PROTOCOL in request.headers:
            # aiohttp warns of each client that offers what is not taken
            offered = request.headers.copy()
            offered.popall(hdrs.SEC_WEBSOCKET_PROTOCOL)
            request = request.clone(headers=offered)
        await client.prepare(request)
        return client

    @contextmanager
    def _kept(self, tunnel: Tunnel) -> Iterator[None]:
        self._open.add(tunnel)
        try:
            yield
        finally:
            self._open.discard(tunnel)


@contextmanager
def _ended_at(tunnel: Tunnel, conversation: Conversation, lives: float | None) -> Iterator[None]:
    """It ends with its module, which has a moment to end it itself, and with the token."""
    loop = asyncio.get_running_loop()
    timers = [] if lives is None else [loop.call_later(max(0.0, lives), tunnel.end, EXPIRED)]

    def stops() -> None:
        tunnel.module_stops()
        timers.append(loop.call_later(LAST_WORDS, tunnel.end, STOPPING))

    forget = conversation.on_draining(stops)
    try:
        yield
    finally:
        forget()
        for timer in timers:
            timer.cancel()


def _protocols(request: web.Request) -> list[str]:
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, []))
    protocols = [each.strip() for each in offered.split(",")] if offered else []
    if len(protocols) > MOST_PROTOCOLS or not all(_PROTOCOL.fullmatch(each) for each in protocols):
        raise Refused(400, "ERR_HANDSHAKE", f"offer up to {MOST_PROTOCOLS} protocols, each a token of RFC 9110")
    return protocols


def _instead(answer: NotUpgraded, module_id: str, request_id: str) -> web.Response:
    """The module's own refusal. Anything else than one is a fault of its: the client waits for a WebSocket."""
    if answer.status < 300:
        raise Refused(502, "ERR_NOT_UPGRADED", f"{module_id} answered {answer.status}; it has no WebSocket there")
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.popall(hdrs.CONTENT_TYPE, None)
    response.headers.extend([*end_to_end(answer.headers, "", _NOT_OF_A_MODULE), ("X-Request-Id", request_id)])
    return response
