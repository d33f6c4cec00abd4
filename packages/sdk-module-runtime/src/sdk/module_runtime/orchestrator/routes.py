"""Requests from module to module that wait for their answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.protocol.extensions import RoutedError
from sdk.module_runtime.protocol.formats import EncodedMessage
from sdk.module_runtime.protocol.messages import RoutedModuleMessage, RoutedModuleResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sdk.module_runtime.protocol.messages import RouteToModule

MOST_OF_A_MODULE: Final = 1024
TIMEOUT: Final = 30.0
_NOTHING: Final = EncodedMessage(data=b"null", format="Json")


class NotAwaited(RuntimeModuleError):
    """An answer to a request that this module was not asked, or that is over."""

    code = "ERR_NOT_AWAITED"


@dataclass(frozen=True)
class _Pending:
    source: str
    original: UUID
    answer: Callable[[RoutedModuleResponse], None]
    expiry: asyncio.TimerHandle


class RoutingTable:
    """``deliver(target, message)`` sends to a module; it answers why it could not, or None."""

    def __init__(
        self, deliver: Callable[[str, RoutedModuleMessage], RoutedError | None], timeout: float = TIMEOUT
    ) -> None:
        self._deliver, self._timeout = deliver, timeout
        self._pending: dict[tuple[str, UUID], _Pending] = {}
        self._of: Counter[str] = Counter()

    def route(self, source: str, wanted: RouteToModule, answer: Callable[[RoutedModuleResponse], None]) -> None:
        """Pass a request on; ``answer`` is called exactly once, unless the source is gone."""
        key = (wanted.target_module_id, wanted.request_id)
        if self._of[source] >= MOST_OF_A_MODULE:
            answer(_failure(wanted, RoutedError(code="busy", message=f"{MOST_OF_A_MODULE} requests wait already")))
            return
        if key in self._pending:
            answer(_failure(wanted, RoutedError(code="duplicate", message="a request with this id waits already")))
            return
        expiry = asyncio.get_running_loop().call_later(self._timeout, self._expire, key)
        self._pending[key] = _Pending(source, wanted.request_id, answer, expiry)
        self._of[source] += 1
        problem = self._deliver(
            wanted.target_module_id,
            RoutedModuleMessage(
                source_module_id=source,
                original_request_id=wanted.request_id,
                payload=wanted.payload,
                target_endpoint=wanted.target_endpoint,
            ),
        )
        if problem is not None:
            self._fail(key, problem)

    def answered(
        self, target: str, request_id: UUID, payload: EncodedMessage | None, error: RoutedError | None = None
    ) -> None:
        """The target's answer. ``NotAwaited`` if nobody waits for it."""
        pending = self._take((target, request_id))
        if pending is None:
            raise NotAwaited(f"no request {request_id} to {target} waits for an answer")
        pending.answer(
            RoutedModuleResponse(
                source_module_id=target, request_id=request_id, payload=payload or _NOTHING, error=error
            )
        )

    def release(self, module_id: str) -> None:
        """The module is gone: what was asked of it fails, what it asked is forgotten."""
        for key, pending in list(self._pending.items()):
            if pending.source == module_id:
                self._take(key)
            elif key[0] == module_id:
                self._fail(key, RoutedError(code="unavailable", message=f"{module_id} ended before it answered"))

    def _expire(self, key: tuple[str, UUID]) -> None:
        self._fail(key, RoutedError(code="timeout", message=f"{key[0]} did not answer in {self._timeout:.0f} s"))

    def _fail(self, key: tuple[str, UUID], error: RoutedError) -> None:
        if key in self._pending:
            self.answered(key[0], key[1], None, error)

    def _take(self, key: tuple[str, UUID]) -> _Pending | None:
        pending = self._pending.pop(key, None)
        if pending is not None:
            pending.expiry.cancel()
            self._of[pending.source] -= 1
        return pending


def _failure(wanted: RouteToModule, error: RoutedError) -> RoutedModuleResponse:
    return RoutedModuleResponse(
        source_module_id=wanted.target_module_id, request_id=wanted.request_id, payload=_NOTHING, error=error
    )
