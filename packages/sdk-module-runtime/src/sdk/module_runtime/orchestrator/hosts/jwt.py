"""The orchestrator's Jwt service: tokens for modules that never see the key (spec/module-runtime.md §1.10)."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.auth.errors import TokenNotAllowed
from sdk.module_runtime.errors import ServiceOperationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.module_runtime.auth.local import LocalTokens

MOST_CONNECTIONS: Final = 16
_SERVICE: Final = "Jwt"


@dataclass(frozen=True, slots=True)
class TokenRights:
    """What a module may do. It makes tokens for these audiences, of these issuer and subjects, and lives no longer.

    ``subjects`` are names, or beginnings that end in ``*``. The issuer is always the service's own.
    """

    validate: bool = True
    generate: bool = False
    audiences: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    longest: float = 3600.0


class JwtHost:
    """A ``ServiceHost``. Whoever has no rights here may do nothing."""

    def __init__(
        self, tokens: LocalTokens, rights: Mapping[str, TokenRights], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._tokens, self._rights, self._clock = tokens, dict(rights), clock
        self._connections: dict[str, str] = {}

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        """``config`` is what the Rust SDK sends; it is not looked at, as none of it is the module's to decide."""
        if module_id not in self._rights:
            raise ServiceOperationFailed(_SERVICE, "open", "this module has no rights to the Jwt service")
        if sum(owner == module_id for owner in self._connections.values()) >= MOST_CONNECTIONS:
            raise ServiceOperationFailed(_SERVICE, "open", f"this module has {MOST_CONNECTIONS} connections already")
        connection = str(uuid.uuid4())
        self._connections[connection] = module_id
        return connection

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any:
        """``validate {token}`` answers the claims, ``generate {claims}`` a token. Raises ``AuthError``."""
        if self._connections.get(connection_id) != module_id:
            raise ServiceOperationFailed(_SERVICE, operation, "this module has no such connection")
        members = params if isinstance(params, dict) else {}
        rights = self._rights[module_id]
        if operation == "validate":
            token = members.get("token")
            if not rights.validate or not isinstance(token, str):
                raise TokenNotAllowed("this module may not judge tokens" if not rights.validate else "give a token")
            return await self._tokens.validate(token)
        if operation == "generate":
            claims = members.get("claims")
            if not isinstance(claims, dict):
                raise TokenNotAllowed("give claims, as an object")
            return await self._tokens.generate(self._limited(module_id, rights, claims))
        if operation == "close":
            del self._connections[connection_id]
            return None
        raise ServiceOperationFailed(_SERVICE, operation, "the Jwt service has validate, generate and close")

    async def release(self, module_id: str) -> None:
        self._connections = {each: owner for each, owner in self._connections.items() if owner != module_id}

    async def close(self) -> None:
        self._connections.clear()
        await self._tokens.close()

    def _limited(self, module_id: str, rights: TokenRights, claims: dict[str, Any]) -> dict[str, Any]:
        """``claims`` if the module may say them; with ``azp``, the module that made the token."""
        if not rights.generate:
            raise TokenNotAllowed("this module may not make tokens")
        now, policy = self._clock(), self._tokens.policy
        if not isinstance(subject := claims.get("sub"), str) or not _named(subject, rights.subjects):
            raise TokenNotAllowed("this module may not make tokens for that subject")
        if claims.get("iss", policy.issuer) != policy.issuer or claims.get("azp", module_id) != module_id:
            raise TokenNotAllowed("iss is the service's and azp the module's own; leave them out")
        audience = claims.get("aud", [])
        wanted = [audience] if isinstance(audience, str) else audience
        if not isinstance(wanted, list) or not all(
            isinstance(each, str) and each in rights.audiences for each in wanted
        ):
            raise TokenNotAllowed("this module may not make tokens for that audience")
        if not wanted and (rights.audiences or policy.audience):
            raise TokenNotAllowed(f"say for which audience: {', '.join(rights.audiences) or 'it may be for none'}")
        expires = claims.get("exp", now + min(policy.lifetime, rights.longest))
        number = isinstance(expires, (int, float)) and not isinstance(expires, bool)
        if not number or not 0 <= expires <= now + rights.longest:  # so written that NaN does not pass
            raise TokenNotAllowed(f"exp is a number, at most {rights.longest:g} seconds from now")
        reserved = {"iat": int(now), "jti": str(uuid.uuid4()), "azp": module_id, "exp": int(expires)}
        return claims | reserved


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)
