"""A wallet of this process for applications on the same machine: HTTP JSON and the binary wire, on the same paths.

``POST /<methodName>``; ``Content-Type`` says which of the two. Who asks is the ``Origin`` that the browser vouches for;
a caller that is no browser says it there or in ``Originator``. A failed JSON call answers 400 with
``{isError, name, message, code?, …}`` (spec/wallet-stack.md §1.2, §5), a failed binary one an error frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from sdk.core.errors import BadRequest, InternalError, InvalidParameter, ParseError, SdkError, WalletError
from sdk.core.wallet import validate_originator
from sdk.core.wallet_wire import CALLS, Request, error_number, write_error
from sdk.service.http_app import Limits, create_app
from sdk.service.http_app.errors import status_of
from sdk.wallet.substrates.dispatch import dispatch
from sdk.wallet.substrates.http_client import BINARY
from sdk.wallet.substrates.processor import WalletWireProcessor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdk.core.wallet_wire import Call

    Check = Callable[[], Awaitable[str | None]]

_MIB: Final = 1024 * 1024
LIMITS: Final = Limits(body=64 * _MIB, body_timeout=60.0)
JSON: Final = "application/json"


def wallet_app(
    wallet: object, *, limits: Limits = LIMITS, checks: Mapping[str, Check] | None = None
) -> web.Application:
    """``wallet`` has some or all methods of ``WalletInterface``. Serve it on the loopback address.

    Whoever reaches it can spend: permissions are the wallet's, or those of what is wrapped around it.
    """
    server = _Server(wallet)
    routes = [web.post(f"/{call.name}", server.handler(call)) for call in CALLS]
    return create_app("wallet", routes, limits=limits, checks=checks)


def originator_of(headers: Mapping[str, str]) -> str:
    """The domain name that asks, with its port if there is one. Raises ``InvalidParameter``."""
    origin = headers.get("Origin") or headers.get("Originator") or ""
    host = origin.partition("://")[2] if "://" in origin else origin
    name = validate_originator(host) if host and origin != "null" and "/" not in host else None
    if not name:
        raise InvalidParameter("originator", "the domain name of the application, in the header Origin or Originator")
    return name


class _Server:
    def __init__(self, wallet: object) -> None:
        self._wallet, self._processor = wallet, WalletWireProcessor(wallet)

    def handler(self, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if request.content_type == BINARY:
                return await self._binary(call, request)
            if request.content_type == JSON:
                return await self._json(call, request)
            raise web.HTTPUnsupportedMediaType(text=f"send {JSON} or {BINARY}")

        return handle

    async def _json(self, call: Call, request: web.Request) -> web.Response:
        try:
            originator = originator_of(request.headers)
            args = call.args.of(_object(await request.read()))
            result = await dispatch(self._wallet, call, args, originator)
        except SdkError as error:
            return _refusal(error)
        return web.Response(body=orjson.dumps(result.to_wire()), content_type=JSON)

    async def _binary(self, call: Call, request: web.Request) -> web.Response:
        try:
            originator = originator_of(request.headers)
            args = call.read_args(await request.read())
            frame = await self._processor.answer(Request(call, args), originator)
        except SdkError as error:
            frame = write_error(error)
        return web.Response(body=frame, content_type=BINARY)


def _object(body: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is no JSON: {error}") from None
    if not isinstance(members, dict):
        raise BadRequest("The body is no JSON object.")
    return members


def _refusal(error: SdkError) -> web.Response:
    members = error.to_wire()
    number = error_number(error)
    if number > 1:
        members.setdefault("code", number)
    at_fault = isinstance(error, (WalletError, ParseError)) and not isinstance(error, InternalError)
    return web.Response(status=400 if at_fault else status_of(error), body=orjson.dumps(members), content_type=JSON)
