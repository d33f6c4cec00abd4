"""Registration of a module that no orchestrator started: framed TCP, requests wrapped in ``Message``, answers bare."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sdk.module_runtime.protocol.model import U16, WireStruct, WireUuid, is_none
from sdk.module_runtime.protocol.services import Endpoint

HealthStatus = Literal["Healthy", "Degraded", "Unhealthy"]


class ModuleInfo(WireStruct):
    name: str
    version: str
    description: str
    id: WireUuid | None = Field(default=None, exclude_if=is_none)
    metadata: dict[str, str] | None = Field(default=None, exclude_if=is_none)


class RegisteredModule(WireStruct):
    """``token`` proves the module in every later request."""

    info: ModuleInfo
    id: WireUuid
    token: str = Field(repr=False)
    orchestrator_host: str
    orchestrator_port: U16
    env: dict[str, str] | None = Field(default=None, exclude_if=is_none)
    additional_data: dict[str, Any] | None = Field(default=None, exclude_if=is_none)


class AdvertisedEndpoint(Endpoint):
    metadata: dict[str, str] | None = Field(default=None, exclude_if=is_none)


class Capabilities(WireStruct):
    endpoints: list[AdvertisedEndpoint]
    message_types: list[str] | None = Field(default=None, exclude_if=is_none)
    additional_capabilities: dict[str, Any] | None = Field(default=None, exclude_if=is_none)


class RegistrationRequest(WireStruct):
    request_type: Literal["register"] = "register"
    module_info: ModuleInfo


class HeartbeatRequest(WireStruct):
    request_type: Literal["heartbeat"] = "heartbeat"
    module_id: WireUuid
    token: str = Field(repr=False)
    status: HealthStatus
    details: dict[str, str] | None = Field(default=None, exclude_if=is_none)


class CapabilitiesRequest(WireStruct):
    request_type: Literal["capabilities"] = "capabilities"
    module_id: WireUuid
    token: str = Field(repr=False)
    capabilities: Capabilities


class UnregistrationRequest(WireStruct):
    request_type: Literal["unregister"] = "unregister"
    module_id: WireUuid
    token: str = Field(repr=False)


class Response(WireStruct):
    response_type: str
    success: bool
    error: str | None = Field(default=None, exclude_if=is_none)


class RegistrationResponse(Response):
    module: RegisteredModule | None = Field(default=None, exclude_if=is_none)


class HeartbeatResponse(Response):
    status: HealthStatus
    context: dict[str, Any] | None = Field(default=None, exclude_if=is_none)


class CapabilitiesResponse(Response):
    pass


class UnregistrationResponse(Response):
    pass
