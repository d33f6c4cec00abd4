"""What modules may ask of the orchestrator's secrets (``ports.SecretKeeper``)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.rows import Entry
from sdk.module_runtime.secrets.errors import (
    SecretDenied,
    SecretError,
    SecretInvalid,
    SecretNotFound,
    SecretThrottled,
    SecretUnreadable,
)
from sdk.module_runtime.secrets.names import LONGEST_NAME, check_name, check_value
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sdk.module_runtime.orchestrator.secrets.store import Rotation, SecretStore

_log = get_logger(__name__)
BURST: Final = 1_000.0
CALLS_A_SECOND: Final = 2.0
DENIED_BURST: Final = 100.0
DENIED_A_SECOND: Final = 0.1
"""A refusal is an audit row too, and a module that has no rights has no reason to go on."""
WRITE_BURST: Final = 30.0
WRITES_A_SECOND: Final = 1 / 30
LARGEST_WRITTEN: Final = 4_096
"""Bytes; with the rates above this bounds what one module can make the orchestrator keep in memory for redaction."""
MOST_WRITTEN: Final = 256
LONGEST_MODULE_ID: Final = 64
_STATUS: Final = {
    SecretNotFound: "not_found",
    SecretDenied: "denied",
    SecretInvalid: "invalid",
    SecretThrottled: "throttled",
    SecretUnreadable: "unreadable",
}
"""Of an answer of the extension ``secrets``; ``ok`` otherwise."""


class Allowances:
    """So many calls of each module, and so many more a second."""

    def __init__(self, burst: float, rate: float, clock: Callable[[], float]) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, module_id: str, name: str) -> None:
        """Raises ``SecretThrottled``."""
        now = self._clock()
        left, at = self._left.get(module_id, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left < 1:
            raise SecretThrottled(name, "asked for too often")
        self._left[module_id] = left - 1, now


class ModuleSecrets:
    """Checks rights before it looks at the store, so that neither answer nor time tells what exists.

    A module that asks more than ``BURST`` times, refilled at ``CALLS_A_SECOND``, is refused without touching the store;
    changes have narrower limits, and one module sets ``MOST_WRITTEN`` names at most.
    """

    def __init__(
        self,
        store: SecretStore,
        rights: Mapping[str, SecretRights] = {},
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rights = dict(rights)
        self._reading = Allowances(BURST, CALLS_A_SECOND, clock)
        self._denied = Allowances(DENIED_BURST, DENIED_A_SECOND, clock)
        self._writing = Allowances(WRITE_BURST, WRITES_A_SECOND, clock)
        self._written: dict[str, set[str]] = {}
        self._listeners: list[Callable[[str, Sequence[str], str], Awaitable[None]]] = []
        self._unsubscribe = store.subscribe(self._rotated)

    def grant(self, module_id: str, rights: SecretRights) -> None:
        """Replaces what the module might do before."""
        self._rights[module_id] = rights

    async def get(self, module_id: str, name: str) -> tuple[str, str | None]:
        """``(value, rotation_id)``; ``SecretDenied``, ``SecretNotFound``, ``SecretThrottled``, ``SecretInvalid``."""
        await self._require(module_id, "get", name)
        return await self._store.hand_out(module_id, name)

    async def call(self, module_id: str, operation: str, params: Any) -> dict[str, Any]:
        """An operation of the extension ``secrets``, and its answer as the wire carries it.

        ``get {name}``, ``set {name, value}``, ``delete {name}``, ``list {}``. The answer has a ``status``, and for
        ``get`` a ``value`` and a ``rotation_id``, for ``list`` the ``names`` that the module may read.
        """
        try:
            return {"status": "ok", **await self._call(module_id, operation, params)}
        except tuple(_STATUS) as error:
            return {"status": _STATUS[type(error)], "reason": error.reason}

    async def _call(self, module_id: str, operation: str, params: Any) -> dict[str, Any]:
        members = params if isinstance(params, dict) else {}
        if operation == "list":
            self._throttle(module_id, "")
            return {"names": [name for name in await self._store.names() if self._of(module_id).may_read(name)]}
        name = members.get("name")
        if not isinstance(name, str):
            raise SecretInvalid("", "give the name as a text")
        if operation == "get":
            value, rotation_id = await self.get(module_id, name)
            return {"value": value, "rotation_id": rotation_id}
        if operation == "set":
            await self._require(module_id, "set", name)
            given = members.get("value")
            if not isinstance(given, str):
                raise SecretInvalid(name, "give the value as a text")
            if len(check_value(name, given)) > LARGEST_WRITTEN:
                raise SecretInvalid(name, f"a module sets values of at most {LARGEST_WRITTEN} bytes")
            self._count(module_id, name)
            await self._store.set({name: given}, actor=f"module:{module_id}")
            return {}
        if operation == "delete":
            await self._require(module_id, "delete", name)
            await self._store.delete([name], actor=f"module:{module_id}")
            return {}
        raise SecretInvalid(name, "the extension has the operations get, set, delete and list")

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None:
        self._throttle(module_id, "")
        settled = await self._store.acknowledge(module_id, rotation_id, success=success, message=message or "")
        if not settled:
            _log.info(
                "secret_rotation_not_pending",
                module_id=module_id,
                rotation_id=ascii(self._store.shown(rotation_id))[:64],
            )
        elif not success:
            _log.warning("secret_rotation_refused", module_id=module_id, names=settled)

    async def pending(self, module_id: str) -> list[tuple[Sequence[str], str]]:
        """``(names, rotation_id)`` that a module which connects again must be told of."""
        rights = self._of(module_id)
        found = (await self._store.pending(module_id)).items()
        readable = (([name for name in names if rights.may_read(name)], rotation) for rotation, names in found)
        return [(names, rotation) for names, rotation in readable if names]

    def on_rotated(self, listener: Callable[[str, Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def close(self) -> None:
        """Tell nobody any more. The store stays open."""
        self._unsubscribe()
        self._listeners.clear()

    def _of(self, module_id: str) -> SecretRights:
        return self._rights.get(module_id, SecretRights())

    async def _require(self, module_id: str, operation: str, name: str) -> None:
        self._throttle(module_id, name)
        rights = self._of(module_id)
        allowed = rights.may_read(name) if operation == "get" else rights.may_write(name)
        if not allowed:
            self._denied.take(module_id, printable(self._store.shown(name)))
            entry = Entry(f"module:{module_id}", operation, printable(self._store.shown(name)), "denied")
            await self._store.note(entry)
            _log.warning("secret_denied", module_id=module_id, operation=operation, secret_name=entry.name)
            raise SecretDenied(entry.name, "read" if operation == "get" else operation)
        check_name(name)
        if operation != "get":
            self._writing.take(module_id, name)

    def _count(self, module_id: str, name: str) -> None:
        written = self._written.setdefault(module_id, set())
        if name not in written and len(written) >= MOST_WRITTEN:
            raise SecretThrottled(name, f"one module sets at most {MOST_WRITTEN} secrets")
        written.add(name)

    def _throttle(self, module_id: str, name: str) -> None:
        if len(module_id) > LONGEST_MODULE_ID:
            raise SecretInvalid(printable(name), f"a module's id has at most {LONGEST_MODULE_ID} characters")
        self._reading.take(module_id, printable(name))

    async def _rotated(self, rotation: Rotation) -> None:
        told = [
            (module_id, names)
            for module_id, held in rotation.held.items()
            if (names := [name for name in held if self._of(module_id).may_read(name)])
        ]
        calls = [
            listener(module_id, names, rotation.rotation_id)
            for listener in self._listeners
            for module_id, names in told
        ]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error("secret_rotation_not_told", rotation_id=rotation.rotation_id, error=type(outcome).__name__)


def printable(name: str) -> str:
    """What a module sent as a name, fit for a row and a log line."""
    try:
        return check_name(name)
    except SecretError:
        return ascii(name[:LONGEST_NAME])[:LONGEST_NAME]
