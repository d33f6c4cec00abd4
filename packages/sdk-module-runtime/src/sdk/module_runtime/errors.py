"""Errors of the module runtime.

SdkError
└─ RuntimeModuleError
   ├─ ProtocolError (ValueError)   a line, frame or message that does not follow the wire; what, and why
   ├─ LinkClosed                   the other end is gone; what was in flight got no answer        (retryable)
   │  └─ NotSent                  … before the request left: it may be made again, another way
   ├─ LinkTimeout                  no answer within the time limit                                (retryable)
   ├─ Unsupported                  the orchestrator did not announce the extension this needs
   ├─ RoutedRequestFailed          another module was asked and gave no answer, or an error
   └─ ServiceOperationFailed       the orchestrator refused or could not do a service operation
"""

from __future__ import annotations

from sdk.core.errors import SdkError


class RuntimeModuleError(SdkError):
    code = "ERR_MODULE_RUNTIME"


class ProtocolError(RuntimeModuleError, ValueError):
    code = "ERR_PROTOCOL"

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(what, reason)

    def __str__(self) -> str:
        return f"invalid {self.what}: {self.reason}"


class LinkClosed(RuntimeModuleError):
    code = "ERR_LINK_CLOSED"
    retryable = True


class NotSent(LinkClosed):
    code = "ERR_NOT_SENT"


class LinkTimeout(RuntimeModuleError):
    code = "ERR_LINK_TIMEOUT"
    retryable = True


class Unsupported(RuntimeModuleError):
    code = "ERR_UNSUPPORTED"

    def __init__(self, extension: str, needed_for: str) -> None:
        self.extension, self.needed_for = extension, needed_for
        super().__init__(extension, needed_for)

    def __str__(self) -> str:
        return f"{self.needed_for} needs the extension {self.extension!r}, which this orchestrator did not announce"


class ServiceOperationFailed(RuntimeModuleError):
    code = "ERR_SERVICE_OPERATION"

    def __init__(self, service_type: str, operation: str, reason: str) -> None:
        self.service_type, self.operation, self.reason = service_type, operation, reason
        super().__init__(service_type, operation, reason)

    def __str__(self) -> str:
        return f"{self.service_type} operation {self.operation!r} failed: {self.reason}"


class RoutedRequestFailed(RuntimeModuleError):
    """``reason_code`` is ``not_found``, ``unavailable``, ``timeout``, ``busy``, ``failed`` or a module's own."""

    code = "ERR_ROUTED_REQUEST"

    def __init__(self, module_id: str, reason_code: str, reason: str) -> None:
        self.module_id, self.reason_code, self.reason = module_id, reason_code, reason
        super().__init__(module_id, reason_code, reason)

    def __str__(self) -> str:
        return f"{self.module_id} did not do what it was asked ({self.reason_code}): {self.reason}"
