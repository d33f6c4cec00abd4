"""The service connections of one instance of a module: each is its own, and of one service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.core.errors import SdkError
from sdk.module_runtime.errors import RuntimeModuleError, ServiceOperationFailed
from sdk.module_runtime.protocol import messages
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.module_runtime.ports import ServiceHost
    from sdk.module_runtime.protocol.services import ServiceType

_log = get_logger(__name__)
MOST_CONNECTIONS: Final = 256


class ServiceDesk:
    """``explain`` puts what went wrong into words for the module."""

    def __init__(
        self, module_id: str, hosts: Mapping[str, ServiceHost], explain: Callable[[str, Exception], str]
    ) -> None:
        self._module_id, self._hosts, self._explain = module_id, hosts, explain
        self._connections: dict[str, str] = {}
        self._opening = 0

    async def open(self, message: messages.ServiceRequest) -> messages.ServiceResponse:
        connection, problem = None, None
        self._opening += 1
        try:
            if len(self._connections) + self._opening > MOST_CONNECTIONS:
                raise RuntimeModuleError(f"a module may have {MOST_CONNECTIONS} service connections; close some")
            if message.config is not None and not isinstance(message.config, dict):
                raise RuntimeModuleError("the config of a service is an object")
            service, host = self._host_of(message.service_type)
            connection = await host.open(self._module_id, message.config)
            self._connections[connection] = service
        except Exception as error:  # noqa: BLE001 - a fault of a host must answer the module and spare the others
            problem = self._explain("service_request", error)
        finally:
            self._opening -= 1
        return messages.ServiceResponse(
            id=message.id,
            service_type=message.service_type,
            success=problem is None,
            error=problem,
            connection_id=connection,
        )

    async def operate(self, message: messages.ServiceOperation) -> messages.ServiceOperationResult:
        """The result, with the operation echoed for a module that knows it by nothing else."""
        result, problem = None, None
        try:
            service, host = self._host_of(message.service_type)
            if self._connections.get(message.connection_id) != service:
                raise ServiceOperationFailed(service, message.operation, "this module has no such connection")
            result = await host.operate(self._module_id, message.connection_id, message.operation, message.params)
            if message.operation == "close":
                self._connections.pop(message.connection_id, None)
        except Exception as error:  # noqa: BLE001 - a fault of a host must answer the module and spare the others
            problem = self._explain(message.operation, error)
        return answer_to(message, result, problem)

    async def close(self) -> None:
        """Close these connections alone: another instance of the same module has its own."""
        for connection, service in list(self._connections.items()):
            try:
                await self._hosts[service].operate(self._module_id, connection, "close", {})
            except SdkError as error:
                _log.warning("connection_not_closed", module_id=self._module_id, service=service, reason=str(error))
        self._connections.clear()

    def _host_of(self, service_type: ServiceType) -> tuple[str, ServiceHost]:
        name = service_type if isinstance(service_type, str) else f"Custom:{service_type['Custom']}"
        host = self._hosts.get(name)
        if host is None:
            raise RuntimeModuleError(f"this orchestrator offers no service {name[:80]}")
        return name, host


def lane_of(message: messages.ServiceOperation) -> tuple[str, ...]:
    """In order for a connection. Of a module that numbers its operations, in order for each transaction: what else it
    has on its way at one time goes side by side, for it waits for an answer where order matters to it.
    """
    if message.operation_id is None:
        return (message.connection_id,)
    transaction = message.params.get("transaction_id") if isinstance(message.params, dict) else None
    return message.connection_id, message.operation_id if transaction is None else f"t{transaction}"[:128]


def answer_to(
    message: messages.ServiceOperation, result: object, problem: str | None
) -> messages.ServiceOperationResult:
    return messages.ServiceOperationResult.trusted(
        success=problem is None,
        result=result,
        error=problem,
        params=message.model_dump(exclude={"op"}) if message.operation_id is None else None,
        operation_id=message.operation_id,
    )
