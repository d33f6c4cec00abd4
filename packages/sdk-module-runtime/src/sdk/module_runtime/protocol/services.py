"""Service types and endpoints, which several messages name."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from sdk.module_runtime.protocol.model import WireStruct, is_none


@with_config(ConfigDict(extra="forbid", strict=True))
class CustomService(TypedDict):
    Custom: str


ServiceType = Literal["Database", "Cache", "Jwt"] | CustomService


def service_type_text(service_type: ServiceType) -> str:
    """``database``, ``cache``, ``jwt`` or ``custom:name``, for logs and metrics."""
    return service_type.lower() if isinstance(service_type, str) else f"custom:{service_type['Custom']}"


class Endpoint(WireStruct):
    path: str
    methods: list[str]
    auth: str | None = Field(default=None, exclude_if=is_none)


class ServiceProvider(WireStruct):
    provider_id: str
    module_id: str
    service_type: ServiceType
    name: str
    version: str | None = None
    address: str
    metadata: dict[str, str]
    is_healthy: bool
