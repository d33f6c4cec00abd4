"""Secrets of the orchestrator, over whatever link leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from sdk.module_runtime.errors import LinkTimeout, RuntimeModuleError, Unsupported
from sdk.module_runtime.protocol.extensions import DRAIN, SECRETS
from sdk.module_runtime.secrets.errors import (
    SecretBackendError,
    SecretDenied,
    SecretInvalid,
    SecretNotFound,
    SecretThrottled,
    SecretUnreadable,
)
from sdk.module_runtime.secrets.names import check_name, check_value
from sdk.module_runtime.secrets.provider import Change, Fetched, SecretProvider
from sdk.module_runtime.secrets.typed import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.module_runtime.ports import OrchestratorLink
    from sdk.module_runtime.secrets.errors import SecretError

_ERRORS: Final[dict[str, type[SecretError]]] = {
    "not_found": SecretNotFound,
    "denied": SecretDenied,
    "invalid": SecretInvalid,
    "throttled": SecretThrottled,
    "unreadable": SecretUnreadable,
}


class OrchestratorProvider(SecretProvider):
    """``get`` works with every orchestrator. ``set``, ``delete`` and ``names`` need the extension ``secrets``.

    The Rust wire has no word for a secret that is not there: such an orchestrator is silent, and ``get`` raises
    ``SecretBackendError`` when the time is up. With the extension the answer comes at once and is typed.
    """

    kind: ClassVar[str] = "orchestrator"

    def __init__(self, link: OrchestratorLink, *, timeout: float = 5.0) -> None:
        super().__init__()
        self._link, self._timeout = link, timeout
        self._end = link.on_rotated(self._rotated)

    async def get(self, name: str) -> Fetched:
        check_name(name)
        if SECRETS in self._link.extensions:
            answer = await self._call("get", name, {"name": name})
            value, rotation_id = answer.get("value"), answer.get("rotation_id")
        elif DRAIN in self._link.extensions:  # ours, that would announce its secrets if it kept any
            raise SecretNotFound(name, "this orchestrator keeps no secrets")
        else:
            value, rotation_id = await self._from_wire(name)
        if not isinstance(value, str) or not isinstance(rotation_id, (str, type(None))):
            raise SecretBackendError(name, "the orchestrator's answer has no value")
        return Fetched(Secret(value), rotation_id)

    async def set(self, name: str, value: str) -> None:
        check_value(name, value)
        secret = Secret(value)
        check_name(name)
        self._require("set a secret")
        await self._call("set", name, {"name": name, "value": secret.expose()})

    async def delete(self, name: str) -> None:
        check_name(name)
        self._require("delete a secret")
        await self._call("delete", name, {"name": name})

    async def names(self) -> list[str]:
        self._require("list secrets")
        names = (await self._call("list", "*", {})).get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SecretBackendError("*", "the orchestrator's answer has no names")
        return sorted(names)

    async def acknowledge(self, rotation_id: str, *, success: bool, message: str | None = None) -> None:
        await self._link.acknowledge_rotation(rotation_id, success=success, message=message)

    async def close(self) -> None:
        self._end()

    def _require(self, what: str) -> None:
        if SECRETS not in self._link.extensions:
            raise Unsupported(SECRETS, f"to {what}")

    async def _from_wire(self, name: str) -> tuple[str, str | None]:
        try:
            return await self._link.get_secret(name, timeout=self._timeout)
        except LinkTimeout:
            raise SecretBackendError(
                name, "the orchestrator did not answer: it may not have it, or this module no right to it"
            ) from None

    async def _call(self, operation: str, name: str, params: dict[str, str]) -> dict[str, Any]:
        try:
            answer = await self._link.extension_call(SECRETS, operation, params, timeout=self._timeout)
        except Unsupported:
            raise
        except RuntimeModuleError as error:
            raise SecretBackendError(name, f"the orchestrator did not {operation} it: {error}") from None
        status = answer.get("status") if isinstance(answer, dict) else None
        if status == "ok":
            found: dict[str, Any] = answer
            return found
        reason = answer.get("reason", "") if isinstance(answer, dict) else ""
        if isinstance(status, str) and status in _ERRORS:
            raise _ERRORS[status](name, str(reason)[:500])
        raise SecretBackendError(name, f"the orchestrator answered {operation} with no known status")

    async def _rotated(self, names: Sequence[str], rotation_id: str) -> None:
        await self._tell(Change(changed=frozenset(names), rotation_id=rotation_id))
