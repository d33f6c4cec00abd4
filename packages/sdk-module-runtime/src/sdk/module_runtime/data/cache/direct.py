"""A cache reached by this process itself: what is checked, defaulted and counted, whatever holds the entries."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.data.cache.backend import I64
from sdk.module_runtime.data.cache.errors import (
    CacheConfigurationError,
    CacheConnectionError,
    CacheFull,
    CacheOperationError,
)
from sdk.module_runtime.data.cache.interface import Cache, CacheStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sdk.module_runtime.data.cache.backend import Backend
    from sdk.module_runtime.data.cache.config import CacheConfig

LONGEST_KEY: Final = 1024
LONGEST_TTL: Final = 100 * 365.25 * 86_400
DEFAULT_NAMESPACE: Final = "default"


async def open_direct(
    config: CacheConfig,
    password: Callable[[], str] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> DirectCache:
    """Asks once whether it answers (``CacheConnectionError``). Without a namespace it is the one called ``default``.

    ``password`` is asked for each new connection to a server, and stands for that of ``config``.
    """
    cache = DirectCache(config, make_backend(config, clock, wall, password))
    try:
        await cache.ping()
    except BaseException:
        await cache.close()
        raise
    return cache


def make_backend(
    config: CacheConfig,
    clock: Callable[[], float],
    wall: Callable[[], float],
    password: Callable[[], str] | None = None,
) -> Backend:
    _check(config)
    namespace = escaped(config.namespace or DEFAULT_NAMESPACE)
    if config.cache_type == "InMemory":
        from sdk.module_runtime.data.cache.memory import MemoryBackend

        return MemoryBackend(config.policy, config.max_size_bytes, clock, wall)
    if config.cache_type == "Redis":
        from sdk.module_runtime.data.cache.redis import RedisBackend

        return RedisBackend(config, namespace, password)
    if config.cache_type == "Memcached":
        from sdk.module_runtime.data.cache.memcached import MemcachedBackend

        return MemcachedBackend(config, namespace, wall)
    from sdk.module_runtime.data.cache.file import FileBackend

    return FileBackend(config, namespace, wall)


def escaped(namespace: str) -> str:
    """Without a colon, which ends it, and without a bare percent sign, which marks what is no entry."""
    return namespace.replace("%", "%25").replace(":", "%3A")


class DirectCache(Cache):
    def __init__(self, config: CacheConfig, backend: Backend) -> None:
        self.config = config
        self._backend = backend
        self._hits = self._misses = self._sets = self._deletes = 0
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        found = await self._ready(key).get(key)
        self._count_reads(found is not None, found is None)
        return found

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        await self._ready(key, value).set(key, value, self._seconds(ttl))
        self._sets += 1

    async def delete(self, key: str) -> bool:
        done = await self._ready(key).delete(key)
        self._deletes += done
        return done

    async def exists(self, key: str) -> bool:
        return await self._ready(key).exists(key)

    async def set_nx(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        done = await self._ready(key, value).set_nx(key, value, self._seconds(ttl))
        self._sets += done
        return done

    async def get_set(self, key: str, value: bytes) -> bytes | None:
        found = await self._ready(key, value).get_set(key, value, self.config.ttl)
        self._count_reads(found is not None, found is None)
        self._sets += 1
        return found

    async def increment(self, key: str, delta: int = 1) -> int:
        if delta not in I64:
            raise CacheOperationError("the delta does not fit into 64 bits")
        number = await self._ready(key).increment(key, delta, self.config.ttl)
        self._sets += 1
        return number

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        backend, seconds = self._ready(), self._seconds(ttl)
        for key, value in items.items():
            self._ready(key, value)
        await backend.set_many(items, seconds)
        self._sets += len(items)

    async def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = self._checked(keys)
        found = await self._ready().get_many(wanted)
        self._count_reads(len(found), len(wanted) - len(found))
        return found

    async def delete_many(self, keys: Iterable[str]) -> int:
        done = await self._ready().delete_many(self._checked(keys))
        self._deletes += done
        return done

    async def clear(self, group: str | None = None) -> None:
        if group is not None:
            self._ready(group)
            if ":" in group:
                raise CacheOperationError("a group has no colon: it is what stands before the first one of a key")
        await self._ready().clear(group)

    async def lock(self, key: str, ttl: float) -> str | None:
        seconds = self._seconds(ttl)
        assert seconds is not None
        return await self._ready(key).lock(key, seconds)

    async def unlock(self, key: str, token: str) -> bool:
        return await self._ready(key).unlock(key, token)

    async def stats(self) -> CacheStats:
        usage = await self._ready().usage()
        return CacheStats(
            self._hits,
            self._misses,
            self._sets,
            self._deletes,
            usage.item_count,
            usage.memory_used_bytes,
            usage.metrics,
        )

    async def ping(self) -> None:
        await self._ready().ping()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._backend.close()

    def _ready(self, key: str = "-", value: bytes = b"") -> Backend:
        """The backend, for a key and value that it may have."""
        if self._closed:
            raise CacheConnectionError("this cache was closed; open it again")
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            raise CacheOperationError("a key is UTF-8 text; this one holds a lone surrogate") from None
        if not 0 < length <= LONGEST_KEY:
            raise CacheOperationError(f"a key has 1 to {LONGEST_KEY} bytes; this one has {length}")
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise CacheOperationError(f"a value is bytes, not {type(value).__name__}; see set_string and set_json")
        if len(value) > self.config.max_size_bytes:
            raise CacheFull(f"a value of {len(value)} bytes is larger than max_size_bytes allows")
        return self._backend

    def _checked(self, keys: Iterable[str]) -> list[str]:
        """Each key once."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            self._ready(key)
        return wanted

    def _seconds(self, ttl: float | None) -> float | None:
        if ttl is None:
            return self.config.ttl
        if not (math.isfinite(ttl) and 0 < ttl <= LONGEST_TTL):
            raise CacheOperationError(f"a TTL is more than 0 seconds and at most 100 years; this one is {ttl}")
        return float(ttl)

    def _count_reads(self, hits: int, misses: int) -> None:
        self._hits += hits
        self._misses += misses


def _check(config: CacheConfig) -> None:
    remote = config.cache_type in ("Redis", "Memcached")
    if remote and len(config.hosts) != 1:
        raise CacheConfigurationError(f"a cache of type {config.cache_type} has one host, not {len(config.hosts)}")
    if config.cache_type == "Memcached" and (config.tls_enabled or config.username or config.password):
        raise CacheConfigurationError("memcached is reached without TLS and without a password; leave them out")
    if config.extra_params:
        raise CacheConfigurationError(f"extra_params {', '.join(sorted(config.extra_params))} are unknown to a cache")
