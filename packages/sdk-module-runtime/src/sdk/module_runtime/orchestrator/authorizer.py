"""Judges requests at the gateway to endpoints that were announced with ``auth = "jwt"``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.auth.claims import Claims, claims_as
from sdk.module_runtime.auth.errors import AuthError, TokenInvalid, TokenMissing
from sdk.module_runtime.auth.middleware import bearer_token
from sdk.module_runtime.orchestrator.gateway import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.module_runtime.auth.ports import Tokens

_KIND: Final = "jwt"
_LARGEST_CLAIMS: Final = 4_096


class JwtAuthorizer:
    """``auth`` is ``jwt``, or ``jwt:a b`` for a token whose ``scope`` names ``a`` and ``b`` (RFC 8693 §4.2).

    The module is told the subject in ``X-Auth-Subject`` and all claims, as JSON, in ``X-Auth-Claims``.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def authorize(self, auth: str, module_id: str, authorization: str | None) -> Mapping[str, str]:
        kind, _, scopes = auth.partition(":")
        if kind.lower() != _KIND:
            raise Unauthorized(f"{module_id} wants an authorization that is not known here", 503)
        try:
            token = bearer_token([] if authorization is None else [authorization])
            claims = claims_as(Claims, await self._tokens.validate(token))
        except (TokenMissing, TokenInvalid) as error:
            raise Unauthorized(str(error)) from None
        except AuthError as error:
            raise Unauthorized(str(error), 503) from None
        given = (claims.model_extra or {}).get("scope", "")
        if not set(scopes.split()) <= set(given.split() if isinstance(given, str) else ()):
            raise Unauthorized("the token's scope does not suffice", 403)
        subject = claims.sub or ""
        shown = json.dumps(claims.model_dump(exclude_none=True))
        if not (subject.isascii() and subject.isprintable()) or len(shown) > _LARGEST_CLAIMS:
            raise Unauthorized(
                "the module cannot be told who this is: its subject is no ASCII, or its claims too large"
            )
        return {"X-Auth-Subject": subject, "X-Auth-Claims": shown}
