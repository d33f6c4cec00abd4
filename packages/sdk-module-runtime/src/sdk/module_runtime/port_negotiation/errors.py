"""Errors of ports.

RuntimeModuleError
└─ PortError
   ├─ PortRefused        the orchestrator said no; asking again changes nothing
   ├─ PortTimeout        it did not answer, however often it was asked            (retryable)
   └─ PortUnavailable    it cannot be asked now, or none could be bound           (retryable)
"""

from __future__ import annotations

from sdk.module_runtime.errors import RuntimeModuleError


class PortError(RuntimeModuleError):
    code = "ERR_PORT"


class PortRefused(PortError):
    code = "ERR_PORT_REFUSED"


class PortTimeout(PortError):
    code = "ERR_PORT_TIMEOUT"
    retryable = True


class PortUnavailable(PortError):
    code = "ERR_PORT_UNAVAILABLE"
    retryable = True
