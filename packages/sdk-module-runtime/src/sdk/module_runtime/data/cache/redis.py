"""A cache on a Redis server. Every operation is one command or one script, so it is atomic there."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.data.cache.backend import Usage
from sdk.module_runtime.data.cache.errors import (
    CacheConfigurationError,
    CacheConnectionError,
    CacheOperationError,
)

try:
    from redis import asyncio as client
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.credentials import CredentialProvider
    from redis.exceptions import AuthenticationError, ConnectionError, RedisError, ResponseError, TimeoutError
except ModuleNotFoundError as missing:
    raise CacheConfigurationError(
        "the client is not installed; run: pip install 'sdk-module-runtime[redis]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sdk.module_runtime.data.cache.config import CacheConfig

T = TypeVar("T")
_BATCH: Final = 1000
_GLOB: Final = re.compile(r"([*?\[\]\\^-])")

_INCREMENT: Final = """\
-- the answer is text: numbers in Lua are doubles
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[2] == '' then redis.call('SET', KEYS[1], 0) else redis.call('SET', KEYS[1], 0, 'PX', ARGV[2]) end
end
redis.call('INCRBY', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
"""
_LOCK: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local fence = string.format('%.0f', math.max(last + 1, now))
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], fence .. '.' .. ARGV[1], 'PX', ARGV[2])
return fence .. '.' .. ARGV[1]
"""
_UNLOCK: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class _Together:
    """Reads that are asked for at the same moment go to the server as one command, which costs a fraction."""

    def __init__(self, fetch: Callable[[list[str]], Awaitable[list[bytes | None]]]) -> None:
        self._fetch = fetch
        self._asked: dict[str, asyncio.Future[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> bytes | None:
        answer = self._asked.get(key)
        if answer is None:
            loop = asyncio.get_running_loop()
            if not self._asked:
                loop.call_soon(self._send)
            answer = self._asked[key] = loop.create_future()
        return await asyncio.shield(answer)

    def _send(self) -> None:
        asked, self._asked = self._asked, {}
        task = asyncio.get_running_loop().create_task(self._answer(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: dict[str, asyncio.Future[bytes | None]]) -> None:
        keys = list(asked)
        try:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                for key, value in zip(batch, await self._fetch(batch), strict=True):
                    asked[key].set_result(value)
        except BaseException as error:  # noqa: BLE001 - it is for those who asked
            for answer in asked.values():
                if not answer.done():
                    answer.set_exception(error)
                    answer.exception()  # who was cancelled meanwhile wants none


class _Credentials(CredentialProvider):
    """Asked for each new connection."""

    def __init__(self, username: str | None, password: Callable[[], str]) -> None:
        self._username, self._password = username, password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._password()
        except ConfigurationError as error:
            raise ConnectionError(str(error)) from error
        return (password,) if self._username is None else (self._username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class RedisBackend:
    """Keys are ``NAMESPACE:KEY``; ``NAMESPACE`` has no colon. Locks are ``NAMESPACE%lock:KEY``."""

    def __init__(self, config: CacheConfig, namespace: str, password: Callable[[], str] | None = None) -> None:
        self._namespace = namespace
        self._redis: Any = client.Redis(
            connection_pool=client.BlockingConnectionPool(
                connection_class=client.SSLConnection if config.tls_enabled else client.Connection,
                host=config.hosts[0],
                port=config.port or 6379,
                db=config.database or 0,
                **_credentials(config, password),
                max_connections=config.pool.max_connections,
                timeout=config.pool.acquire_timeout_seconds,
                socket_connect_timeout=config.connection_timeout_seconds,
                socket_timeout=config.operation_timeout_seconds,
                retry=Retry(NoBackoff(), 0),  # an increment whose answer was lost must not be done twice
                health_check_interval=30,
            )
        )
        self._gets = _Together(self._fetch)
        self._increment = self._redis.register_script(_INCREMENT)
        self._lock = self._redis.register_script(_LOCK)
        self._unlock = self._redis.register_script(_UNLOCK)

    async def get(self, key: str) -> bytes | None:
        return await self._gets.get(self._name(key))

    async def _fetch(self, names: list[str]) -> list[bytes | None]:
        found: list[bytes | None] = await _done(self._redis.mget(names))
        return found

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await _done(self._redis.set(self._name(key), value, px=_milliseconds(ttl)))

    async def delete(self, key: str) -> bool:
        return bool(await _done(self._redis.delete(self._name(key))))

    async def exists(self, key: str) -> bool:
        return bool(await _done(self._redis.exists(self._name(key))))

    async def set_nx(self, key: str, value: bytes, ttl: float | None) -> bool:
        return bool(await _done(self._redis.set(self._name(key), value, px=_milliseconds(ttl), nx=True)))

    async def get_set(self, key: str, value: bytes, ttl: float | None) -> bytes | None:
        found: bytes | None = await _done(self._redis.set(self._name(key), value, px=_milliseconds(ttl), get=True))
        return found

    async def increment(self, key: str, delta: int, ttl: float | None) -> int:
        milliseconds = _milliseconds(ttl)
        arguments = [delta, "" if milliseconds is None else milliseconds]
        return int(await _done(self._increment(keys=[self._name(key)], args=arguments)))

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in items.items():
            pipeline.set(self._name(key), value, px=_milliseconds(ttl))
        await _done(pipeline.execute())

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        if not keys:
            return {}
        found = await _done(self._redis.mget([self._name(key) for key in keys]))
        return {key: value for key, value in zip(keys, found, strict=True) if value is not None}

    async def delete_many(self, keys: Sequence[str]) -> int:
        return int(await _done(self._redis.delete(*map(self._name, keys)))) if keys else 0

    async def clear(self, group: str | None) -> None:
        pattern = _GLOB.sub(r"\\\1", self._name("" if group is None else f"{group}:")) + "*"
        cursor = 0
        while True:
            cursor, found = await _done(self._redis.scan(cursor, match=pattern, count=_BATCH))
            if found:
                await _done(self._redis.unlink(*found))
            if cursor == 0:
                return

    async def lock(self, key: str, ttl: float) -> str | None:
        keys = [f"{self._namespace}%lock:{key}", f"{self._namespace}%fence"]
        token = await _done(self._lock(keys=keys, args=[secrets.token_hex(16), _milliseconds(ttl) or 1]))
        return None if token is None else token.decode()

    async def unlock(self, key: str, token: str) -> bool:
        return bool(await _done(self._unlock(keys=[f"{self._namespace}%lock:{key}"], args=[token])))

    async def usage(self) -> Usage:
        return Usage()

    async def ping(self) -> None:
        await _done(self._redis.ping())

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _name(self, key: str) -> str:
        return f"{self._namespace}:{key}"


async def _done(command: Awaitable[T]) -> T:
    try:
        return await command
    except ResponseError as error:
        raise CacheOperationError(str(error)) from error
    except AuthenticationError as error:
        raise CacheConfigurationError(f"Redis refuses the user or password: {error}") from error
    except (ConnectionError, TimeoutError, OSError) as error:
        raise CacheConnectionError(f"Redis cannot be reached: {error}") from error
    except RedisError as error:
        raise CacheOperationError(str(error)) from error


def _credentials(config: CacheConfig, password: Callable[[], str] | None) -> dict[str, Any]:
    if password is not None:
        return {"credential_provider": _Credentials(config.username, password)}
    return {"username": config.username, "password": config.password}


def _milliseconds(ttl: float | None) -> int | None:
    return None if ttl is None else max(1, int(ttl * 1000))
