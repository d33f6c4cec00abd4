"""Claims as a model; derive from ``Claims`` for your own."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sdk.module_runtime.auth.errors import TokenInvalid

C = TypeVar("C", bound="Claims")


class Claims(BaseModel):
    """The registered claims (RFC 7519 §4.1). Times are seconds since 1970. Others are kept in ``model_extra``."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    sub: str | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    jti: str | None = None


def claims_as(model: type[C], claims: dict[str, Any]) -> C:
    """Raises ``TokenInvalid`` if the claims are not those that ``model`` wants."""
    try:
        return model.model_validate(claims)
    except ValidationError:
        raise TokenInvalid("InvalidClaims") from None
