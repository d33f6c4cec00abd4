"""One small cache interface over memory, files, Redis and memcached.

::

    cache = await open_cache(CacheConfig(cache_type="Redis", namespace="notes"))
    await cache.set("greeting", b"hello", ttl=60)
    await cache.get("greeting")
"""

from sdk.module_runtime.data.cache.config import CacheConfig, Duration
from sdk.module_runtime.data.cache.direct import DirectCache, open_cache
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
