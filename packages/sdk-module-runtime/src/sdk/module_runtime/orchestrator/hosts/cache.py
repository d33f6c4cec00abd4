"""The orchestrator's Cache service: the reference's operations on what a stack lends each module (spec 1.10).

Every scope is a namespace, which no operation leaves; without one of its own it is ``MODULE/NAME``, so modules share
entries only where the stack says so. Values are base64.
"""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.cache.direct import open_direct
from sdk.module_runtime.data.cache.errors import (
    CacheConfigurationError,
    CacheConnectionError,
    CacheError,
    CacheFull,
    CacheOperationError,
)
from sdk.module_runtime.orchestrator.hosts.connections import Connections
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdk.module_runtime.data.cache.direct import DirectCache
    from sdk.module_runtime.orchestrator.hosts.scopes import CacheLimits, CacheScope

_log = get_logger(__name__)
_AT_ONCE: Final = 32
"""Keys that are read before their size is looked at."""
_TOLD: Final = (CacheFull, CacheConfigurationError, CacheConnectionError)


@dataclass(frozen=True, slots=True)
class _Lent:
    """What all connections of a module to one scope share."""

    cache: DirectCache
    turns: asyncio.Semaphore


@dataclass(frozen=True, slots=True)
class _Connection:
    name: str
    limits: CacheLimits
    cache: DirectCache
    turns: asyncio.Semaphore


class CacheHost:
    """A ``ServiceHost``. ``scopes`` by module and name; a module names one in ``namespace`` of its configuration.

    Entries outlive the module: one that is started again finds them.
    """

    def __init__(
        self,
        scopes: Mapping[str, Mapping[str, CacheScope]],
        environ: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``secrets`` by name are looked at whenever a connection is opened, so they may change."""
        self._scopes, self._clock, self._wall = scopes, clock, wall
        self._environ = os.environ if environ is None else environ
        self._secrets = {} if secrets is None else secrets
        self._connections: Connections[_Connection] = Connections(CacheConnectionError)
        self._lent: dict[tuple[str, str], _Lent] = {}
        self._opening: dict[tuple[str, str], asyncio.Lock] = {}

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        """Raises ``CacheError``. Where the cache is, and its limits, are the stack's to say, not the module's."""
        name = (config or {}).get("namespace")
        name = "main" if name is None else name
        scope = self._scopes.get(module_id, {}).get(name) if isinstance(name, str) else None
        if scope is None:
            _log.warning("cache_refused", module_id=module_id, operation="open", code="no such scope")
            raise CacheConfigurationError(
                "this module has no cache of that name; its names stand in the stack under caches"
            )
        try:
            lent = await self._lend(module_id, str(name), scope)
            return self._connections.add(
                module_id, _Connection(str(name), scope.limits, lent.cache, lent.turns), scope.limits.connections
            )
        except CacheError as error:
            _log.warning("cache_not_opened", module_id=module_id, scope=name, code=error.code)
            raise

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any:
        connection = self._connections.get(module_id, connection_id)
        if operation == "close":
            self._connections.remove(connection_id)
            return None
        work = _OPERATIONS.get(operation)
        if work is None:
            raise CacheOperationError(f"the Cache service has no operation {operation[:64]!r}")
        if not isinstance(params, dict):
            raise CacheOperationError("the parameters of an operation are an object")
        try:
            async with connection.turns:
                return await work(connection, params)
        except _TOLD as error:
            _log.warning(
                "cache_refused", module_id=module_id, scope=connection.name, operation=operation, code=error.code
            )
            raise

    async def release(self, module_id: str) -> None:
        for connection_id in self._connections.of(module_id):
            self._connections.remove(connection_id)

    async def close(self) -> None:
        while self._lent:
            await self._lent.popitem()[1].cache.close()

    async def _lend(self, module_id: str, name: str, scope: CacheScope) -> _Lent:
        """Opened once for all connections of the module."""
        key = (module_id, name)
        async with self._opening.setdefault(key, asyncio.Lock()):
            if key not in self._lent:
                password = scope.password_source(self._environ, self._secrets)
                config = scope.config(module_id, name)
                cache = await open_direct(config, password, clock=self._clock, wall=self._wall)
                self._lent[key] = _Lent(cache, asyncio.Semaphore(scope.limits.operations))
            return self._lent[key]


async def _get(connection: _Connection, params: dict[str, Any]) -> str | None:
    return _wire(await connection.cache.get(_text(params, "key")))


async def _set(connection: _Connection, params: dict[str, Any]) -> None:
    await connection.cache.set(_text(params, "key"), _value(connection, params.get("value")), _ttl(params))


async def _delete(connection: _Connection, params: dict[str, Any]) -> bool:
    return await connection.cache.delete(_text(params, "key"))


async def _exists(connection: _Connection, params: dict[str, Any]) -> bool:
    return await connection.cache.exists(_text(params, "key"))


async def _set_nx(connection: _Connection, params: dict[str, Any]) -> bool:
    return await connection.cache.set_nx(_text(params, "key"), _value(connection, params.get("value")), _ttl(params))


async def _get_set(connection: _Connection, params: dict[str, Any]) -> str | None:
    return _wire(await connection.cache.get_set(_text(params, "key"), _value(connection, params.get("value"))))


async def _increment(connection: _Connection, params: dict[str, Any]) -> int:
    delta = params.get("delta")
    if not isinstance(delta, int) or isinstance(delta, bool):
        raise CacheOperationError("delta is an integer")
    return await connection.cache.increment(_text(params, "key"), delta)


async def _set_many(connection: _Connection, params: dict[str, Any]) -> None:
    items = params.get("items")
    if not isinstance(items, dict):
        raise CacheOperationError("items is an object of base64 values by key")
    _few(connection, len(items))
    values = {key: _value(connection, value) for key, value in items.items()}
    await connection.cache.set_many(values, _ttl(params))


async def _get_many(connection: _Connection, params: dict[str, Any]) -> dict[str, str]:
    """Never more than ``limits.bytes`` of values: a module asks again, for fewer keys."""
    keys, size = _keys(connection, params), 0
    found: dict[str, bytes] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = await connection.cache.get_many(keys[start : start + _AT_ONCE])
        size += sum(map(len, some.values()))
        if size > connection.limits.bytes:
            raise CacheFull(f"the values are larger than {connection.limits.bytes} bytes together; ask for fewer")
        found |= some
    return {key: b64encode(value).decode() for key, value in found.items()}


async def _delete_many(connection: _Connection, params: dict[str, Any]) -> int:
    return await connection.cache.delete_many(_keys(connection, params))


async def _clear(connection: _Connection, params: dict[str, Any]) -> None:
    group = params.get("namespace")
    await connection.cache.clear(None if group is None else _text(params, "namespace"))


async def _lock(connection: _Connection, params: dict[str, Any]) -> str | None:
    ttl = _ttl(params)
    if ttl is None:
        raise CacheOperationError("a lock needs ttl_seconds")
    return await connection.cache.lock(_text(params, "key"), ttl)


async def _unlock(connection: _Connection, params: dict[str, Any]) -> bool:
    return await connection.cache.unlock(_text(params, "key"), _text(params, "lock_token"))


async def _stats(connection: _Connection, params: dict[str, Any]) -> dict[str, Any]:
    return asdict(await connection.cache.stats())


async def _ping(connection: _Connection, params: dict[str, Any]) -> None:
    await connection.cache.ping()


async def _flush(connection: _Connection, params: dict[str, Any]) -> None:
    await connection.cache.flush()


_OPERATIONS: Final[dict[str, Callable[[_Connection, dict[str, Any]], Awaitable[Any]]]] = {
    "get": _get,
    "set": _set,
    "delete": _delete,
    "exists": _exists,
    "set_nx": _set_nx,
    "get_set": _get_set,
    "increment": _increment,
    "set_many": _set_many,
    "get_many": _get_many,
    "delete_many": _delete_many,
    "clear": _clear,
    "lock": _lock,
    "unlock": _unlock,
    "stats": _stats,
    "ping": _ping,
    "flush": _flush,
}


def _text(params: dict[str, Any], member: str) -> str:
    value = params.get(member)
    if not isinstance(value, str):
        raise CacheOperationError(f"{member} is text")
    return value


def _keys(connection: _Connection, params: dict[str, Any]) -> list[str]:
    keys = params.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CacheOperationError("keys is a list of texts")
    _few(connection, len(keys))
    return keys


def _few(connection: _Connection, count: int) -> None:
    if count > connection.limits.keys:
        raise CacheOperationError(f"{count} keys in one operation are too many; {connection.limits.keys} may be")


def _ttl(params: dict[str, Any]) -> float | None:
    ttl = params.get("ttl_seconds")
    if ttl is not None and (not isinstance(ttl, (int, float)) or isinstance(ttl, bool)):
        raise CacheOperationError("ttl_seconds is a number of seconds, or null")
    return ttl


def _value(connection: _Connection, text: Any) -> bytes:
    if not isinstance(text, str):
        raise CacheOperationError("a value is base64 text")
    if len(text) * 3 // 4 > connection.limits.value_bytes + 2:
        raise CacheFull(f"a value is larger than the {connection.limits.value_bytes} bytes that this module may store")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise CacheOperationError("a value is base64 text; this one is none") from None


def _wire(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()
