"""What makes and judges tokens, wherever it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tokens(Protocol):
    async def validate(self, token: str) -> dict[str, Any]:
        """The claims. Raises ``TokenInvalid`` or ``AuthUnavailable``."""
        ...

    async def generate(self, claims: Mapping[str, Any]) -> str:
        """A token. Raises ``TokenNotAllowed`` or ``AuthUnavailable``."""
        ...
