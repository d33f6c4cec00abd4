"""Errors of tokens. None shows a token, a key or a claim's value.

RuntimeModuleError
└─ AuthError
   ├─ TokenMissing          no Authorization header with a bearer token
   ├─ TokenInvalid          the token proves nothing; ``reason`` is one of ``REASONS``
   ├─ TokenNotAllowed       it is not this module's to make or judge such a token
   └─ AuthUnavailable       who judges tokens cannot be reached                     (retryable)
"""

from __future__ import annotations

from typing import Final

from sdk.module_runtime.errors import RuntimeModuleError

REASONS: Final = frozenset(
    {
        "ExpiredSignature",
        "ImmatureSignature",
        "InvalidAlgorithm",
        "InvalidAudience",
        "InvalidClaims",
        "InvalidIssuer",
        "InvalidSignature",
        "InvalidToken",
        "MissingRequiredClaim",
        "UnknownKey",
    }
)
_UNAUTHORIZED: Final = "Unauthorized: "


class AuthError(RuntimeModuleError):
    code = "ERR_AUTH"


class TokenMissing(AuthError):
    code = "ERR_TOKEN_MISSING"

    def __str__(self) -> str:
        return "Missing Authorization header"


class TokenInvalid(AuthError):
    code = "ERR_TOKEN_INVALID"

    def __init__(self, reason: str) -> None:
        self.reason = reason if reason in REASONS else "InvalidToken"
        super().__init__(self.reason)

    def __str__(self) -> str:
        return f"{_UNAUTHORIZED}{self.reason}"

    @classmethod
    def from_text(cls, text: str) -> TokenInvalid | None:
        """The inverse of ``str``; None for another text."""
        reason = text.removeprefix(_UNAUTHORIZED)
        return cls(reason) if reason != text and reason in REASONS else None


class TokenNotAllowed(AuthError):
    code = "ERR_TOKEN_NOT_ALLOWED"


class AuthUnavailable(AuthError):
    code = "ERR_AUTH_UNAVAILABLE"
    retryable = True
