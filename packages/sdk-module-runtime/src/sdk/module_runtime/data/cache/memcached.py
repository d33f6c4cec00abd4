"""A cache on a memcached server, which knows neither namespaces nor exact times; both are made here.

A key on the server is a digest of the namespace, its generation, the group with its generation, and the key. To clear
is to give the namespace or group a new random generation: no old entry has a name that anybody asks for again. An
entry begins with the time at which it ends. Evicting a generation clears what it names; that is what a cache may do.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import struct
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.cache.backend import Usage, added, group_of, next_token
from sdk.module_runtime.data.cache.errors import (
    CacheConfigurationError,
    CacheConnectionError,
    CacheOperationError,
)

try:
    import aiomcache
except ModuleNotFoundError as missing:
    raise CacheConfigurationError(
        "the client is not installed; run: pip install 'sdk-module-runtime[memcached]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sdk.module_runtime.data.cache.config import CacheConfig

_HEAD: Final = struct.Struct(">d")
_RELATIVE: Final = 30 * 86_400
"""Seconds; what is longer, memcached takes for a point in time."""
_TRIES: Final = 1000


class _Client(aiomcache.Client):
    async def _execute_simple_command(self, conn: Any, raw_command: bytes) -> bytes:
        """As the library's, which never ends when the server closes the connection meanwhile."""
        conn.writer.write(raw_command)
        await conn.writer.drain()
        line: bytes = await conn.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("memcached closed the connection")
        return line[:-2]


class MemcachedBackend:
    def __init__(self, config: CacheConfig, namespace: str, wall: Callable[[], float]) -> None:
        self._config, self._wall, self._namespace = config, wall, namespace
        self._client: _Client | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def get(self, key: str) -> bytes | None:
        name = await self._name(key)
        return self._value(await self._do("get", name))

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        name, data, seconds = await self._name(key), *self._entry(value, ttl)
        await self._do("set", name, data, seconds)

    async def delete(self, key: str) -> bool:
        name = await self._name(key)
        old, _ = await self._do("gets", name)
        return await self._do("delete", name) and self._value(old) is not None

    async def exists(self, key: str) -> bool:
        return await self.get(key) is not None

    async def set_nx(self, key: str, value: bytes, ttl: float | None) -> bool:
        _, changed = await self._change(await self._name(key), lambda old: None if old is not None else value, ttl)
        return changed

    async def get_set(self, key: str, value: bytes, ttl: float | None) -> bytes | None:
        old, _ = await self._change(await self._name(key), lambda _: value, ttl)
        return old

    async def increment(self, key: str, delta: int, ttl: float | None) -> int:
        name = await self._name(key)
        old, _ = await self._change(name, lambda old: added(old, delta), ttl, keep_end=True)
        return int(added(old, delta))

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None) -> None:
        for key, value in items.items():
            await self.set(key, value, ttl)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        names = {await self._name(key): key for key in keys}
        if not names:
            return {}
        found = await self._do("multi_get", *names)
        values = {key: self._value(data) for key, data in zip(names.values(), found, strict=True)}
        return {key: value for key, value in values.items() if value is not None}

    async def delete_many(self, keys: Sequence[str]) -> int:
        return sum([await self.delete(key) for key in keys])

    async def clear(self, group: str | None) -> None:
        generation = secrets.token_bytes(16)
        await self._do("set", self._generation_name(group), generation)

    async def lock(self, key: str, ttl: float) -> str | None:
        fence_name = _digest("fence", self._namespace)
        token = ""

        def raised(old: bytes | None) -> bytes:
            nonlocal token
            fence, token = next_token(int(old or 0), self._wall())
            return b"%d" % fence

        await self._change(fence_name, raised, None)
        mine = token.encode()
        _, taken = await self._change(self._lock_name(key), lambda old: None if old else mine, ttl)
        return token if taken else None

    async def unlock(self, key: str, token: str) -> bool:
        held = token.encode()
        old, _ = await self._change(self._lock_name(key), lambda old: b"" if old == held else None, 1.0)
        return old == held

    async def usage(self) -> Usage:
        return Usage()

    async def ping(self) -> None:
        await self._do("version")

    async def close(self) -> None:
        await self._drop_client()

    async def _change(
        self, name: bytes, change: Callable[[bytes | None], bytes | None], ttl: float | None, *, keep_end: bool = False
    ) -> tuple[bytes | None, bool]:
        """What was there, and whether it was changed, by compare-and-swap. ``change`` answers None to leave it."""
        for _ in range(_TRIES):
            found, version = await self._do("gets", name)
            old = self._value(found)
            new = change(old)
            if new is None:
                return old, False
            left = ttl
            if keep_end and old is not None and found is not None:
                (end,) = _HEAD.unpack_from(found)
                left = None if math.isinf(end) else max(end - self._wall(), 0.001)
            data, seconds = self._entry(new, left)
            if found is None:
                done = await self._do("add", name, data, seconds)
            else:
                done = await self._do("cas", name, data, version, seconds)
            if done:
                return old, True
        raise CacheOperationError(f"others changed the entry {_TRIES} times meanwhile; try again later")

    async def _name(self, key: str) -> bytes:
        """The name on the server, in the generations there are now."""
        group = group_of(key)
        names = [self._generation_name(None)] + ([] if group is None else [self._generation_name(group)])
        found = await self._do("multi_get", *names)
        generations = [
            (each if each is not None else await self._begin_generation(name)).hex()
            for name, each in zip(names, found, strict=True)
        ]
        return _digest("entry", self._namespace, *generations, key)

    async def _begin_generation(self, name: bytes) -> bytes:
        """Only one of many who begin it at a time succeeds, and all use that one."""
        for _ in range(_TRIES):
            generation = secrets.token_bytes(16)
            if await self._do("add", name, generation):
                return generation
            found: bytes | None = await self._do("get", name)
            if found is not None:
                return found
        raise CacheOperationError("memcached keeps nothing, not even for a moment; give it more memory")

    def _generation_name(self, group: str | None) -> bytes:
        return _digest("generation", self._namespace, *([] if group is None else [group]))

    def _lock_name(self, key: str) -> bytes:
        return _digest("lock", self._namespace, key)

    def _entry(self, value: bytes, ttl: float | None) -> tuple[bytes, int]:
        """What is stored, and the server's own limit, which comes a little after the exact one."""
        if ttl is None:
            return _HEAD.pack(math.inf) + value, 0
        end = self._wall() + ttl
        seconds = math.ceil(ttl) + 1
        return _HEAD.pack(end) + value, seconds if seconds <= _RELATIVE else math.ceil(end) + 1

    def _value(self, data: bytes | None) -> bytes | None:
        if data is None or len(data) < _HEAD.size or _HEAD.unpack_from(data)[0] <= self._wall():
            return None
        return data[_HEAD.size :]

    async def _do(self, command: str, *arguments: Any) -> Any:
        """A command begun is finished, so that its answer is never taken for that of the next one.

        One that takes too long ends every connection; so does one that failed half-way.
        """
        if self._client is None:
            self._client = _Client(
                self._config.hosts[0],
                self._config.port or 11211,
                pool_size=self._config.pool.max_connections,
                pool_minsize=1,
            )
        running = asyncio.ensure_future(getattr(self._client, command)(*arguments))
        self._running.add(running)
        running.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self._config.operation_timeout_seconds):
                return await asyncio.shield(running)
        except TimeoutError:
            await self._drop_client()
            seconds = self._config.operation_timeout_seconds
            raise CacheConnectionError(f"memcached did not answer within {seconds} s") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if running.cancelled() and task is not None and not task.cancelling():
                raise CacheConnectionError("the connection was given up when another command failed") from None
            raise
        except OSError as error:
            await self._drop_client()
            raise CacheConnectionError(f"memcached cannot be reached: {error}") from error
        except aiomcache.ClientException as error:
            raise CacheOperationError(f"memcached refused: {error}") from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; who was cancelled wants none

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if client is not None:
            await client.close()


def _digest(*parts: str) -> bytes:
    """A key any memcached takes, which no other parts have."""
    digest = sha256()
    for part in parts:
        data = part.encode()
        digest.update(struct.pack(">I", len(data)) + data)
    return b"sdk:" + digest.hexdigest().encode()
