"""Redaction of structured values and of exceptions."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.secrets.redaction.registry import SECRETS
from sdk.service.logging import REDACTED

if TYPE_CHECKING:
    from sdk.module_runtime.secrets.redaction.registry import SecretRegistry

_DEEPEST: Final = 20


def redact_value(value: Any, registry: SecretRegistry = SECRETS, *, _depth: int = 0) -> Any:
    """``value`` without secrets: texts, bytes, and what mappings and sequences hold, keys too.

    Another object is answered as it is unless its ``str`` or ``repr`` shows a secret: then as redacted text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return registry.redact(value)
    if isinstance(value, (int, float)):
        return value if registry.redact(str(value)) == str(value) else REDACTED
    if isinstance(value, (bytes, bytearray, memoryview)):
        text = bytes(value).decode("utf-8", "surrogateescape")
        clean = registry.redact(text)
        return value if clean == text else clean.encode("utf-8", "surrogateescape")
    if _depth < _DEEPEST:
        if isinstance(value, dict):
            return {
                redact_value(key, registry, _depth=_depth + 1): redact_value(each, registry, _depth=_depth + 1)
                for key, each in value.items()
            }
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(redact_value(each, registry, _depth=_depth + 1) for each in value)
    if registry.redact(shown := str(value)) != shown:
        return registry.redact(shown)
    if registry.redact(shown := repr(value)) != shown:
        return registry.redact(shown)
    return value


def redact_exception(error: BaseException, registry: SecretRegistry = SECRETS) -> str:
    """The traceback of ``error``, with its causes, notes and groups, without secrets; ends with a newline."""
    return registry.redact("".join(traceback.format_exception(error)))
