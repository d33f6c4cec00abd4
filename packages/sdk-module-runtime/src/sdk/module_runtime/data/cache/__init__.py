"""One small cache interface over memory, files, Redis and memcached.

::

    cache = await open_cache(CacheConfig(cache_type="Redis", namespace="notes"), context.link)
    await cache.set("greeting", b"hello", ttl=60)
    await cache.get("greeting")

Names are imported on first use, so that a module pays only for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sdk.module_runtime.data.cache.choice import open_cache
    from sdk.module_runtime.data.cache.config import CacheConfig, Duration
    from sdk.module_runtime.data.cache.direct import DirectCache
    from sdk.module_runtime.data.cache.errors import (
        CacheConfigurationError,
        CacheConnectionError,
        CacheError,
        CacheFull,
        CacheOperationError,
        CacheSerializationError,
        LockLost,
    )
    from sdk.module_runtime.data.cache.interface import Cache, CacheStats, fence_of
    from sdk.module_runtime.data.cache.patterns import (
        CacheAside,
        CacheNotUpdated,
        DistributedLock,
        Invalidation,
        WriteBehind,
        WriteThrough,
    )

_WHERE: Final = {
    "Cache": "sdk.module_runtime.data.cache.interface",
    "CacheAside": "sdk.module_runtime.data.cache.patterns",
    "CacheConfig": "sdk.module_runtime.data.cache.config",
    "CacheConfigurationError": "sdk.module_runtime.data.cache.errors",
    "CacheConnectionError": "sdk.module_runtime.data.cache.errors",
    "CacheError": "sdk.module_runtime.data.cache.errors",
    "CacheFull": "sdk.module_runtime.data.cache.errors",
    "CacheNotUpdated": "sdk.module_runtime.data.cache.patterns",
    "CacheOperationError": "sdk.module_runtime.data.cache.errors",
    "CacheSerializationError": "sdk.module_runtime.data.cache.errors",
    "CacheStats": "sdk.module_runtime.data.cache.interface",
    "DirectCache": "sdk.module_runtime.data.cache.direct",
    "DistributedLock": "sdk.module_runtime.data.cache.patterns",
    "Duration": "sdk.module_runtime.data.cache.config",
    "Invalidation": "sdk.module_runtime.data.cache.patterns",
    "LockLost": "sdk.module_runtime.data.cache.errors",
    "WriteBehind": "sdk.module_runtime.data.cache.patterns",
    "WriteThrough": "sdk.module_runtime.data.cache.patterns",
    "fence_of": "sdk.module_runtime.data.cache.interface",
    "open_cache": "sdk.module_runtime.data.cache.choice",
}

__all__ = [
    "Cache",
    "CacheAside",
    "CacheConfig",
    "CacheConfigurationError",
    "CacheConnectionError",
    "CacheError",
    "CacheFull",
    "CacheNotUpdated",
    "CacheOperationError",
    "CacheSerializationError",
    "CacheStats",
    "DirectCache",
    "DistributedLock",
    "Duration",
    "Invalidation",
    "LockLost",
    "WriteBehind",
    "WriteThrough",
    "fence_of",
    "open_cache",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
