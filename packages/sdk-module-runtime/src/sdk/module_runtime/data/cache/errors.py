"""Errors of a module's cache; their text begins with what kind it is, by which a proxy tells them apart.

CacheError
├─ CacheConfigurationError    a configuration that cannot work
├─ CacheConnectionError       the server or folder is not there, went away, or was too slow   (retryable)
├─ CacheSerializationError    a value that is not what was asked for: no UTF-8, no JSON
└─ CacheOperationError        a key, value or time that cannot serve
   ├─ CacheFull               there is no room, and the policy evicts nothing
   └─ LockLost                a lock ended before its holder gave it back
"""

from __future__ import annotations

from typing import ClassVar, Final

from sdk.module_runtime.errors import RuntimeModuleError


class CacheError(RuntimeModuleError):
    code = "ERR_CACHE"
    kind: ClassVar[str] = "cache error"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class CacheConfigurationError(CacheError):
    code = "ERR_CACHE_CONFIGURATION"
    kind = "cache configuration error"


class CacheConnectionError(CacheError):
    code = "ERR_CACHE_CONNECTION"
    kind = "cache connection error"
    retryable = True


class CacheSerializationError(CacheError):
    code = "ERR_CACHE_SERIALIZATION"
    kind = "cache serialization error"


class CacheOperationError(CacheError):
    code = "ERR_CACHE_OPERATION"
    kind = "cache operation error"


class CacheFull(CacheOperationError):
    code = "ERR_CACHE_FULL"
    kind = "cache full"


class LockLost(CacheOperationError):
    """Somebody else may have held the lock meanwhile; a fencing token tells the protected resource so."""

    code = "ERR_CACHE_LOCK_LOST"
    kind = "cache lock lost"


_KINDS: Final = (
    CacheConfigurationError, CacheConnectionError, CacheSerializationError, CacheOperationError, CacheFull, LockLost,
)  # fmt: skip


def error_of(text: str) -> CacheError:
    """The error that another process wrote as text; ``CacheError`` for words that are none of ours."""
    for each in _KINDS:
        if text.startswith(f"{each.kind}: "):
            return each(text.removeprefix(f"{each.kind}: "))
    return CacheError(text)
