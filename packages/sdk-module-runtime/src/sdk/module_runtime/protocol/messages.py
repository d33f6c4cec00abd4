"""Every message between a module and its orchestrator, tagged by ``op``. Members in the order Rust writes them.

``identify`` has no model: Rust declares it in a form that can neither be written nor read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from sdk.module_runtime.protocol.envelope import Message
from sdk.module_runtime.protocol.extensions import ExtensionCall, ExtensionResult, Hello, RoutedError
from sdk.module_runtime.protocol.formats import EncodedMessage
from sdk.module_runtime.protocol.init import InitBlob
from sdk.module_runtime.protocol.json_text import Repeated, parse_json
from sdk.module_runtime.protocol.model import U16, Codec, WireBytes, WireStruct, WireUuid, is_none
from sdk.module_runtime.protocol.services import Endpoint, ServiceProvider, ServiceType

# --- module to orchestrator ---


class Announce(WireStruct):
    op: Literal["announce"] = "announce"
    listen: str
    endpoints: list[Endpoint]


class GetSecret(WireStruct):
    op: Literal["get_secret"] = "get_secret"
    name: str


class RotationAck(WireStruct):
    op: Literal["rotation_ack"] = "rotation_ack"
    rotation_id: str
    status: str
    message: str | None = Field(default=None, exclude_if=is_none)


class RegisterServiceProvider(WireStruct):
    op: Literal["register_service_provider"] = "register_service_provider"
    service_type: ServiceType
    name: str
    version: str | None = None
    address: str
    metadata: dict[str, str] | None = None


class DiscoverServiceProviders(WireStruct):
    op: Literal["discover_service_providers"] = "discover_service_providers"
    service_type: ServiceType
    all_providers: bool | None = None


class ServiceRequest(WireStruct):
    op: Literal["service_request"] = "service_request"
    id: str
    service_type: ServiceType
    config: Any = None


class ServiceOperation(WireStruct):
    """``operation_id`` only after the extension ``correlation`` was announced."""

    op: Literal["service_operation"] = "service_operation"
    connection_id: str
    service_type: ServiceType
    operation: str
    params: Any
    operation_id: str | None = Field(default=None, exclude_if=is_none)


class HttpResponse(WireStruct):
    op: Literal["http_response"] = "http_response"
    request_id: str
    status_code: U16
    headers: dict[str, str]
    body: WireBytes | None = None


class PortRequest(WireStruct):
    op: Literal["port_request"] = "port_request"
    request_id: str
    specific_port: U16 | None = None


class RouteToModule(WireStruct):
    op: Literal["route_to_module"] = "route_to_module"
    target_module_id: str
    target_endpoint: str
    request_id: WireUuid
    payload: EncodedMessage


class HeartbeatAck(WireStruct):
    op: Literal["heartbeat_ack"] = "heartbeat_ack"


# --- orchestrator to module ---


class _InitTag(WireStruct):
    op: Literal["init"] = "init"


class Init(InitBlob, _InitTag):
    """The InitBlob with its tag in front."""


class Secret(WireStruct):
    op: Literal["secret"] = "secret"
    name: str
    value: str = Field(repr=False)
    rotation_id: str | None = Field(default=None, exclude_if=is_none)


class Rotated(WireStruct):
    op: Literal["rotated"] = "rotated"
    keys: list[str]
    rotation_id: str


class Shutdown(WireStruct):
    op: Literal["shutdown"] = "shutdown"


class RegisterServiceProviderResponse(WireStruct):
    op: Literal["register_service_provider_response"] = "register_service_provider_response"
    success: bool
    provider_id: str | None = None
    error: str | None = None


class DiscoverServiceProvidersResponse(WireStruct):
    op: Literal["discover_service_providers_response"] = "discover_service_providers_response"
    success: bool
    providers: list[ServiceProvider]
    error: str | None = None


class ServiceResponse(WireStruct):
    op: Literal["service_response"] = "service_response"
    id: str
    service_type: ServiceType
    success: bool
    error: str | None = None
    connection_id: str | None = None


class ServiceOperationResult(WireStruct):
    """``params`` echoes the operation, by which a Rust module finds who waits; ``operation_id`` is ``correlation``."""

    op: Literal["service_operation_result"] = "service_operation_result"
    success: bool
    result: Any = None
    error: str | None = None
    params: Any = Field(default=None, exclude_if=is_none)
    operation_id: str | None = Field(default=None, exclude_if=is_none)


class HttpRequest(WireStruct):
    op: Literal["http_request"] = "http_request"
    request_id: str
    method: str
    uri: str
    headers: dict[str, str]
    body: WireBytes | None = None


class PortResponse(WireStruct):
    """``port`` is required even on failure, where it is 0."""

    op: Literal["port_response"] = "port_response"
    request_id: str
    success: bool
    port: U16
    error_message: str | None = None


class RoutedModuleMessage(WireStruct):
    """``target_endpoint`` is ours; Rust knows no such member and ignores it."""

    op: Literal["routed_module_message"] = "routed_module_message"
    source_module_id: str
    original_request_id: WireUuid
    payload: EncodedMessage
    target_endpoint: str | None = Field(default=None, exclude_if=is_none)


class RoutedModuleResponse(WireStruct):
    """``source_module_id`` is the module that answers. With ``error``, which is ours, ``payload`` is JSON ``null``."""

    op: Literal["routed_module_response"] = "routed_module_response"
    source_module_id: str
    request_id: WireUuid
    payload: EncodedMessage
    error: RoutedError | None = Field(default=None, exclude_if=is_none)


class Heartbeat(WireStruct):
    op: Literal["heartbeat"] = "heartbeat"


ModuleToOrchestrator = (
    Announce
    | GetSecret
    | RotationAck
    | RegisterServiceProvider
    | DiscoverServiceProviders
    | ServiceRequest
    | ServiceOperation
    | HttpResponse
    | PortRequest
    | RouteToModule
    | HeartbeatAck
    | ExtensionCall
    | Hello
)
OrchestratorToModule = (
    Init
    | Secret
    | Rotated
    | Shutdown
    | RegisterServiceProviderResponse
    | DiscoverServiceProvidersResponse
    | ServiceResponse
    | ServiceOperationResult
    | HttpRequest
    | PortResponse
    | RoutedModuleMessage
    | RoutedModuleResponse
    | Heartbeat
    | ExtensionResult
)
TaggedModuleToOrchestrator = Annotated[ModuleToOrchestrator, Field(discriminator="op")]
TaggedOrchestratorToModule = Annotated[OrchestratorToModule, Field(discriminator="op")]

MODULE_TO_ORCHESTRATOR: Codec[ModuleToOrchestrator] = Codec("ModuleToOrchestrator", TaggedModuleToOrchestrator)
ORCHESTRATOR_TO_MODULE: Codec[OrchestratorToModule] = Codec("OrchestratorToModule", TaggedOrchestratorToModule)
WRAPPED_MODULE_TO_ORCHESTRATOR: Codec[Message[ModuleToOrchestrator]] = Codec(
    "Message<ModuleToOrchestrator>", Message[TaggedModuleToOrchestrator]
)
WRAPPED_ORCHESTRATOR_TO_MODULE: Codec[Message[OrchestratorToModule]] = Codec(
    "Message<OrchestratorToModule>", Message[TaggedOrchestratorToModule]
)


def decode_module_line(line: bytes) -> ModuleToOrchestrator:
    """One line of a module's stdout. A Rust module answers HTTP without a tag: ``{"content":{…},"metadata":{…}}``."""
    value = parse_json(line, "line of a module")
    if isinstance(value, dict) and "op" not in value and isinstance(value.get("content"), dict):
        value = _tagged(value, value["content"])
    return MODULE_TO_ORCHESTRATOR.from_value(value)


def _tagged(value: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    tagged = {**content, "op": content.get("op", "http_response")}
    if type(value) is Repeated:
        tagged = Repeated(tagged)
        tagged.repeated = content.repeated if type(content) is Repeated else frozenset()
    return tagged


def decode_orchestrator_body(data: bytes) -> OrchestratorToModule:
    """The JSON in a frame from the orchestrator: bare, as Rust wants it, or wrapped."""
    value = parse_json(data, "body of a frame")
    if isinstance(value, dict) and "op" not in value and "content" in value:
        return WRAPPED_ORCHESTRATOR_TO_MODULE.from_value(value).content
    return ORCHESTRATOR_TO_MODULE.from_value(value)
