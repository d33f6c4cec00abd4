"""Lets requests with a valid bearer token through to an aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from sdk.module_runtime.auth.claims import Claims, claims_as
from sdk.module_runtime.auth.errors import AuthError, TokenInvalid, TokenMissing
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiohttp.typedefs import Handler, Middleware

    from sdk.module_runtime.auth.ports import Tokens

_log = get_logger(__name__)

CLAIMS: Final[web.RequestKey[Any]] = web.RequestKey("sdk.claims", Claims)
"""``request[CLAIMS]``: the claims of the token, as the model that the middleware was made with."""


def jwt_middleware(
    tokens: Tokens,
    claims: type[Claims] = Claims,
    *,
    open_paths: Collection[str] = (),
    allow: Callable[[web.Request, Any], bool] | None = None,
) -> Middleware:
    """Answers 401 ``{"error": …}`` without a valid token, 403 if ``allow(request, claims)`` is false, 503 if nobody
    can judge tokens now. ``open_paths`` need none, exactly as they are written.
    """
    exempt = frozenset(open_paths)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in exempt:
            return await handler(request)
        try:
            found = claims_as(
                claims, await tokens.validate(bearer_token(request.headers.getall(hdrs.AUTHORIZATION, [])))
            )
        except TokenMissing as error:
            return refusal(401, str(error), "Bearer")
        except TokenInvalid as error:
            return refusal(401, str(error), 'Bearer error="invalid_token"')
        except AuthError as error:
            _log.error("token_not_judged", reason=str(error))
            return refusal(503, str(error))
        if allow is not None and not allow(request, found):
            return refusal(403, "Forbidden")
        request[CLAIMS] = found
        return await handler(request)

    return check


def bearer_token(headers: Collection[str]) -> str:
    """The token of the one Authorization header there may be. Raises ``TokenMissing`` or ``TokenInvalid``."""
    if not headers:
        raise TokenMissing
    if len(headers) > 1:
        raise TokenInvalid("InvalidToken")
    scheme, _, token = next(iter(headers)).strip().partition(" ")
    if scheme.lower() != "bearer":
        raise TokenMissing
    return token.strip()


def refusal(status: int, error: str, challenge: str | None = None) -> web.Response:
    headers = {} if challenge is None else {hdrs.WWW_AUTHENTICATE: challenge}
    return web.json_response({"error": error}, status=status, headers=headers)
