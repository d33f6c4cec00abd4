"""JSON Web Tokens: made and judged here, or by the orchestrator's service; claims as models; a middleware for aiohttp.

Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sdk.module_runtime.auth.claims import Claims
    from sdk.module_runtime.auth.errors import AuthError, AuthUnavailable, TokenInvalid, TokenMissing, TokenNotAllowed
    from sdk.module_runtime.auth.jwks import JwksKeys
    from sdk.module_runtime.auth.keys import JwtKey, KeySet
    from sdk.module_runtime.auth.local import LocalTokens, TokenPolicy
    from sdk.module_runtime.auth.middleware import CLAIMS, jwt_middleware
    from sdk.module_runtime.auth.ports import Tokens
    from sdk.module_runtime.auth.remote import OrchestratorTokens

_WHERE: Final = {
    "CLAIMS": "middleware",
    "AuthError": "errors",
    "AuthUnavailable": "errors",
    "Claims": "claims",
    "JwksKeys": "jwks",
    "JwtKey": "keys",
    "KeySet": "keys",
    "LocalTokens": "local",
    "OrchestratorTokens": "remote",
    "TokenInvalid": "errors",
    "TokenMissing": "errors",
    "TokenNotAllowed": "errors",
    "TokenPolicy": "local",
    "Tokens": "ports",
    "jwt_middleware": "middleware",
}

__all__ = [
    "CLAIMS",
    "AuthError",
    "AuthUnavailable",
    "Claims",
    "JwksKeys",
    "JwtKey",
    "KeySet",
    "LocalTokens",
    "OrchestratorTokens",
    "TokenInvalid",
    "TokenMissing",
    "TokenNotAllowed",
    "TokenPolicy",
    "Tokens",
    "jwt_middleware",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
