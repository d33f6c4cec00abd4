"""Tokens made and judged by the orchestrator's Jwt service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.auth.errors import AuthUnavailable, TokenInvalid, TokenNotAllowed
from sdk.module_runtime.auth.local import LARGEST_TOKEN, read_header
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, RuntimeModuleError, ServiceOperationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.module_runtime.ports import OrchestratorLink

_SERVICE: Final = "Jwt"


class OrchestratorTokens:
    """One service connection, opened when it is first needed and again after it was lost."""

    def __init__(self, link: OrchestratorLink, *, timeout: float = 10.0) -> None:
        self._link, self._timeout = link, timeout
        self._connection: str | None = None
        self._opening = asyncio.Lock()

    async def validate(self, token: str) -> dict[str, Any]:
        read_header(token)  # what cannot be a token is not worth a question
        claims = await self._operate("validate", {"token": token})
        if not isinstance(claims, dict):
            raise AuthUnavailable("the orchestrator's answer has no claims")
        return claims

    async def generate(self, claims: Mapping[str, Any]) -> str:
        token = await self._operate("generate", {"claims": dict(claims)})
        if not isinstance(token, str) or not 0 < len(token) <= LARGEST_TOKEN:
            raise AuthUnavailable("the orchestrator's answer has no token")
        return token

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._link.operate(connection, _SERVICE, "close", {}, timeout=self._timeout)

    async def _operate(self, operation: str, params: Mapping[str, Any]) -> Any:
        connection = await self._connected()
        try:
            return await self._link.operate(connection, _SERVICE, operation, params, timeout=self._timeout)
        except ServiceOperationFailed as error:
            invalid = TokenInvalid.from_text(error.reason)
            if invalid is not None:
                raise invalid from None
            if operation == "generate":
                raise TokenNotAllowed(error.reason) from None
            raise AuthUnavailable(f"the orchestrator did not {operation}: {error.reason}") from None
        except (LinkClosed, LinkTimeout) as error:
            if self._connection == connection:
                self._connection = None
            raise AuthUnavailable(f"Failed to connect to JWT service: {error}") from None

    async def _connected(self) -> str:
        async with self._opening:
            if self._connection is None:
                try:
                    self._connection = await self._link.open_service(_SERVICE, {"config": {}}, timeout=self._timeout)
                except RuntimeModuleError as error:
                    raise AuthUnavailable(f"Failed to connect to JWT service: {error}") from None
            return self._connection
