"""A cache reached through the orchestrator, with the interface and the errors of one reached directly.

An operation is sent once and never again. Rust counts a TTL in whole seconds; so does what is sent to an orchestrator
that is not ours, where a fraction is rounded up.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.cache.errors import (
    CacheConnectionError,
    CacheOperationError,
    CacheSerializationError,
    error_of,
)
from sdk.module_runtime.data.cache.interface import Cache, CacheStats
from sdk.module_runtime.data.remote import Remote
from sdk.module_runtime.errors import LinkClosed, LinkTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sdk.module_runtime.data.cache.config import CacheConfig
    from sdk.module_runtime.ports import OrchestratorLink

TIMEOUT: Final = 30.0
_BROKEN: Final = (LinkClosed, LinkTimeout)


async def open_proxied(link: OrchestratorLink, config: CacheConfig, *, timeout: float = TIMEOUT) -> ProxiedCache:
    """``config.namespace`` names a cache that the stack lends this module; a password is not sent."""
    remote = Remote(link, "Cache", error_of, timeout=timeout)
    try:
        await remote.open(config.model_dump(exclude={"password"}) | {"password": None})
    except _BROKEN as error:
        raise CacheConnectionError(f"the orchestrator did not open it: {error}") from error
    return ProxiedCache(remote)


class ProxiedCache(Cache):
    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def get(self, key: str) -> bytes | None:
        return _value(await self._do("get", {"key": key}))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        await self._do("set", {"key": key, "value": _text(value), "ttl_seconds": self._seconds(ttl)})

    async def delete(self, key: str) -> bool:
        return bool(await self._do("delete", {"key": key}))

    async def exists(self, key: str) -> bool:
        return bool(await self._do("exists", {"key": key}))

    async def set_nx(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        return bool(await self._do("set_nx", {"key": key, "value": _text(value), "ttl_seconds": self._seconds(ttl)}))

    async def get_set(self, key: str, value: bytes) -> bytes | None:
        return _value(await self._do("get_set", {"key": key, "value": _text(value)}))

    async def increment(self, key: str, delta: int = 1) -> int:
        return _number(await self._do("increment", {"key": key, "delta": delta}))

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        values = {key: _text(value) for key, value in items.items()}
        await self._do("set_many", {"items": values, "ttl_seconds": self._seconds(ttl)})

    async def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        found = await self._do("get_many", {"keys": list(keys)})
        if not isinstance(found, dict):
            raise CacheSerializationError("the orchestrator answered get_many with no object")
        values = ((key, _value(value)) for key, value in found.items())
        return {key: value for key, value in values if value is not None}

    async def delete_many(self, keys: Iterable[str]) -> int:
        return _number(await self._do("delete_many", {"keys": list(keys)}))

    async def clear(self, group: str | None = None) -> None:
        await self._do("clear", {"namespace": group})

    async def flush(self) -> None:
        await self._do("flush", {})

    async def lock(self, key: str, ttl: float) -> str | None:
        token = await self._do("lock", {"key": key, "ttl_seconds": self._seconds(ttl)})
        if token is not None and not isinstance(token, str):
            raise CacheSerializationError("the orchestrator answered lock with no token")
        return token

    async def unlock(self, key: str, token: str) -> bool:
        return bool(await self._do("unlock", {"key": key, "lock_token": token}))

    async def stats(self) -> CacheStats:
        """Counted for all of the module's connections to this cache."""
        found = await self._do("stats", {})
        if not isinstance(found, dict):
            raise CacheSerializationError("the orchestrator answered stats with no object")
        return CacheStats(**{name: found[name] for name in CacheStats.__slots__ if name in found})

    async def ping(self) -> None:
        await self._do("ping", {})

    async def close(self) -> None:
        await self._remote.close()

    async def _do(self, operation: str, params: Mapping[str, Any]) -> Any:
        try:
            return await self._remote.do(operation, params)
        except _BROKEN as error:
            raise CacheConnectionError(str(error)) from error

    def _seconds(self, ttl: float | None) -> float | None:
        if ttl is None or not math.isfinite(ttl):
            if ttl is not None:
                raise CacheOperationError(f"a TTL is a number of seconds; this one is {ttl}")
            return None
        return ttl if self._remote.is_ours else math.ceil(ttl)


def _text(value: bytes) -> str:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise CacheOperationError(f"a value is bytes, not {type(value).__name__}; see set_string and set_json")
    return b64encode(value).decode()


def _value(found: Any) -> bytes | None:
    """Rust's own orchestrators may answer with an array of bytes."""
    if found is None:
        return None
    try:
        if isinstance(found, str):
            return b64decode(found, validate=True)
        if isinstance(found, list):
            return bytes(found)
    except (TypeError, ValueError):
        """As for what is neither."""
    raise CacheSerializationError("the orchestrator answered with a value that is no base64")


def _number(found: Any) -> int:
    if not isinstance(found, int) or isinstance(found, bool):
        raise CacheSerializationError("the orchestrator answered with no integer")
    return found
