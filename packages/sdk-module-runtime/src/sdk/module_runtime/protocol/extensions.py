"""Messages of ours. None is sent to a peer that did not announce the extension in its InitBlob.

A module's ``extension_call`` by extension, operation and ``params``:

* ``secrets``: ``set``, ``delete``, ``list`` (``SecretKeeper.call``).
* ``routed_answer``: ``answer`` with ``{"request_id", "payload"}`` or ``{"request_id", "error": {"code", "message"}}``
  answers a ``routed_module_message``; the one who asked gets a ``routed_module_response``, which then has ``error``.
* ``drain``: ``draining`` with ``{}`` says that the module takes no new requests.

``sessions`` says that the Database service opens sessions: a ``service_request`` whose config has ``"session": true``.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from sdk.module_runtime.protocol.model import WireStruct

CORRELATION: Final = "correlation"
SECRETS: Final = "secrets"
HELLO: Final = "hello"
MESSAGE_PACK: Final = "msgpack"
ROUTED_ANSWER: Final = "routed_answer"
DRAIN: Final = "drain"
SESSIONS: Final = "sessions"


class ExtensionCall(WireStruct):
    op: Literal["extension_call"] = "extension_call"
    call_id: str
    extension: str
    operation: str
    params: Any


class ExtensionResult(WireStruct):
    op: Literal["extension_result"] = "extension_result"
    call_id: str
    success: bool
    result: Any = None
    error: str | None = None


class Hello(WireStruct):
    """The first frame on a channel: proves which module speaks. Nothing answers it; a wrong one ends the channel."""

    op: Literal["hello"] = "hello"
    module_id: str
    auth_token: str = Field(repr=False)


class RoutedError(WireStruct):
    """Why a routed request has no answer: ``not_found``, ``unavailable``, ``timeout``, ``busy`` or a module's own."""

    code: str
    message: str
