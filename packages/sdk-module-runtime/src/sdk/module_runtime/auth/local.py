"""Tokens made and judged in this process, with PyJWT."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.auth.claims import Claims
from sdk.module_runtime.auth.errors import TokenInvalid, TokenNotAllowed
from sdk.module_runtime.auth.keys import JwtKey
from sdk.module_runtime.secrets.typed import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdk.module_runtime.auth.keys import Keys

LARGEST_TOKEN: Final = 16_384
"""Characters."""
_REASONS: Final[tuple[tuple[type[jwt.PyJWTError], str], ...]] = (
    (jwt.ExpiredSignatureError, "ExpiredSignature"),
    (jwt.ImmatureSignatureError, "ImmatureSignature"),
    (jwt.InvalidAudienceError, "InvalidAudience"),
    (jwt.InvalidIssuerError, "InvalidIssuer"),
    (jwt.MissingRequiredClaimError, "MissingRequiredClaim"),
    (jwt.InvalidAlgorithmError, "InvalidAlgorithm"),
    (jwt.InvalidSignatureError, "InvalidSignature"),
)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What a token must say. A token for an audience is refused where none is expected.

    ``leeway`` is what clocks may differ, in seconds. ``lifetime`` is given to tokens that are made without ``exp``.
    """

    audience: tuple[str, ...] = ()
    issuer: str | None = None
    leeway: float = 60.0
    lifetime: float = 3600.0
    required: tuple[str, ...] = ("exp",)


class LocalTokens:
    """``signer`` makes tokens, or says which key does; without it this only judges them."""

    def __init__(
        self,
        keys: Keys,
        policy: TokenPolicy = TokenPolicy(),
        *,
        signer: JwtKey | Callable[[], Awaitable[JwtKey]] | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        if isinstance(signer, JwtKey) and not signer.can_sign:
            raise ConfigurationError("a public key makes no tokens")
        self.policy = policy
        self._keys, self._signer, self._clock, self._new_id = keys, signer, clock, new_id

    async def validate(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of the keys has signed and whose time it is."""
        kid, algorithm = read_header(token)
        key = await self._keys.find(kid, algorithm)
        policy = self.policy
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                _exposed(key.verifying),
                algorithms=[algorithm],
                audience=policy.audience or None,
                issuer=policy.issuer,
                leeway=policy.leeway,
                options={"require": list(policy.required)},
            )
        except jwt.PyJWTError as error:
            raise TokenInvalid(_reason_of(error)) from None
        except (
            ValueError,
            TypeError,
            OverflowError,
            RecursionError,
        ):  # numbers and nesting that the library trips over
            raise TokenInvalid("InvalidToken") from None
        return claims

    async def generate(self, claims: Mapping[str, Any]) -> str:
        """A token with ``claims``, and ``iat``, ``exp``, ``jti``, ``iss`` and ``aud`` where they do not say it."""
        signer = await self._signer() if callable(self._signer) else self._signer
        if signer is None or not signer.can_sign:
            raise TokenNotAllowed("there is no key here to make tokens with")
        now = int(self._clock())
        policy = self.policy
        whole: dict[str, Any] = {"iat": now, "exp": now + int(policy.lifetime), "jti": self._new_id()}
        if policy.issuer is not None:
            whole["iss"] = policy.issuer
        if policy.audience:
            whole["aud"] = policy.audience[0] if len(policy.audience) == 1 else list(policy.audience)
        whole.update(claims)
        headers = None if signer.kid is None else {"kid": signer.kid}
        try:
            Claims.model_validate(whole, strict=True)
            token = jwt.encode(whole, _exposed(signer.signing), signer.algorithm, headers)
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError) as error:  # pydantic's too
            raise TokenNotAllowed(f"these claims make no token: {type(error).__name__}") from None
        if len(token) > LARGEST_TOKEN:
            raise TokenNotAllowed(f"a token has at most {LARGEST_TOKEN} characters")
        return token

    async def close(self) -> None:
        await self._keys.close()


def read_header(token: str) -> tuple[str | None, str]:
    """``(kid, alg)``, of which nothing is proven yet. ``none`` and critical extensions are refused here."""
    if len(token) > LARGEST_TOKEN or token.count(".") != 2 or not token.isascii():
        raise TokenInvalid("InvalidToken")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenInvalid("InvalidToken") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm.lower() == "none":
        raise TokenInvalid("InvalidAlgorithm")
    if not isinstance(kid, (str, type(None))) or "crit" in header:
        raise TokenInvalid("InvalidToken")
    return kid, algorithm


def _reason_of(error: jwt.PyJWTError) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "InvalidToken")


def _exposed(key: Any) -> Any:
    return key.expose() if isinstance(key, Secret) else key
