"""Ways to keep a cache beside what it caches, none of which loses a write in silence."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.data.cache.errors import CacheError, CacheOperationError, LockLost
from sdk.module_runtime.data.cache.interface import fence_of
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from sdk.module_runtime.data.cache.interface import Cache

    Load = Callable[[str], Awaitable[bytes | None]]
    Store = Callable[[str, bytes], Awaitable[None]]
    Failed = Callable[[str, bytes, Exception], None]
    Sleep = Callable[[float], Awaitable[None]]

_log = get_logger(__name__)


class CacheAside:
    """Reads from the cache, and what is not there from ``load``. Who asks for a key at the same time loads it once.

    A cache that fails is left aside: the value comes from ``load``, and the failure is logged.
    """

    def __init__(self, cache: Cache, load: Load, ttl: float | None = None) -> None:
        self._cache, self._load, self._ttl = cache, load, ttl
        self._loading: dict[str, asyncio.Task[bytes | None]] = {}

    async def get(self, key: str) -> bytes | None:
        try:
            found = await self._cache.get(key)
        except CacheError as error:
            _log.warning("cache_left_aside", reason=str(error))
            return await self._load(key)
        return found if found is not None else await self._shared(key)

    async def _shared(self, key: str) -> bytes | None:
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load_and_keep(key))
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(task)

    async def _load_and_keep(self, key: str) -> bytes | None:
        value = await self._load(key)
        if value is not None:
            try:
                await self._cache.set(key, value, self._ttl)
            except CacheError as error:
                _log.warning("cache_left_aside", reason=str(error))
        return value


class WriteThrough:
    """Writes to ``store`` and then to the cache. The old value leaves the cache first, so none stays if either fails.

    A ``CacheError`` before ``store`` was called means that nothing was written; ``CacheNotUpdated`` that ``store``
    has the value and the cache has none.
    """

    def __init__(self, cache: Cache, store: Store, ttl: float | None = None) -> None:
        self._cache, self._store, self._ttl = cache, store, ttl

    async def set(self, key: str, value: bytes) -> None:
        await self._cache.delete(key)
        await self._store(key, value)
        try:
            await self._cache.set(key, value, self._ttl)
        except CacheError as error:
            raise CacheNotUpdated(f"the value is stored, but not cached: {error}") from error


class CacheNotUpdated(CacheOperationError):
    code = "ERR_CACHE_NOT_UPDATED"


class WriteBehind:
    """Writes to the cache at once and to ``store`` a little later, in order for each key; only its last value counts.

    What ``store`` refuses ``attempts`` times is told to ``failed(key, value, error)``. The writes that wait are lost
    if the process is killed: keep nothing here that has to last. ``async with`` ends with everything written or told.
    """

    def __init__(
        self,
        cache: Cache,
        store: Store,
        failed: Failed,
        *,
        ttl: float | None = None,
        most_waiting: int = 1000,
        attempts: int = 5,
        first_delay: float = 0.1,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._cache, self._store, self._failed, self._ttl = cache, store, failed, ttl
        self._attempts, self._first_delay, self._sleep = attempts, first_delay, sleep
        self._waiting: dict[str, bytes] = {}
        self._most = most_waiting
        self._changed = asyncio.Condition()
        self._busy = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WriteBehind:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def set(self, key: str, value: bytes) -> None:
        """Waits while ``most_waiting`` keys are to be stored."""
        if self._task is None or self._task.done():
            raise CacheOperationError("nothing writes behind; use it within its async with block")
        async with self._changed:
            await self._changed.wait_for(lambda: key in self._waiting or len(self._waiting) < self._most)
            await self._cache.set(key, value, self._ttl)  # one at a time, so that cache and store agree on the last
            self._waiting[key] = value
            self._changed.notify_all()

    async def drain(self) -> None:
        """Until all that was set before is stored, or told as failed."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._busy)

    async def _run(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                key = next(iter(self._waiting))
                value = self._waiting.pop(key)
                self._busy = True
            try:
                await self._store_one(key, value)
            finally:
                async with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    async def _store_one(self, key: str, value: bytes) -> None:
        for attempt in range(self._attempts):
            if attempt:
                await self._sleep(self._first_delay * 2 ** (attempt - 1))
            try:
                await self._store(key, value)
                return
            except Exception as error:  # noqa: BLE001 - whatever a store raises, its owner is told
                last = error
        try:
            self._failed(key, value, last)
        except Exception as error:  # noqa: BLE001 - the other writes go on
            _log.error("write_behind_failure_untold", exc_info=error)


class Invalidation:
    """Which groups of keys an event makes stale: ``{"user_changed": ["user", "team"]}``."""

    def __init__(self, cache: Cache, groups: Mapping[str, Iterable[str]]) -> None:
        self._cache = cache
        self._groups = {event: tuple(each) for event, each in groups.items()}

    async def happened(self, event: str) -> None:
        """Returns when nobody can read a stale entry any more. ``CacheOperationError`` for an unknown event."""
        if event not in self._groups:
            raise CacheOperationError(f"no groups are named for the event {event!r}")
        for group in self._groups[event]:
            await self._cache.clear(group)


_GROWTH: Final = 2.0


class DistributedLock:
    """One holder at a time among all processes of the cache's namespace, for ``ttl`` seconds at most.

    A holder that pauses past its time may go on beside the next one, so what it protects should be given ``fence``
    with each write and refuse one that is smaller than another it has seen. ``LockLost`` at the end if time ran out.
    """

    def __init__(
        self,
        cache: Cache,
        key: str,
        ttl: float,
        *,
        attempts: int = 5,
        first_delay: float = 0.1,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cache, self._key, self._ttl = cache, key, ttl
        self._attempts, self._first_delay, self._sleep, self._jitter = attempts, first_delay, sleep, jitter
        self._token: str | None = None

    @property
    def fence(self) -> int:
        if self._token is None:
            raise CacheOperationError("this lock is not held")
        return fence_of(self._token)

    async def acquire(self) -> bool:
        """Whether it is held now, after ``attempts`` tries with growing waits between them."""
        for attempt in range(self._attempts):
            if attempt:
                longest = self._first_delay * _GROWTH ** (attempt - 1)
                await self._sleep(longest * (0.5 + self._jitter() / 2))
            self._token = await self._cache.lock(self._key, self._ttl)
            if self._token is not None:
                return True
        return False

    async def release(self) -> bool:
        """Whether it was still held."""
        token, self._token = self._token, None
        return token is not None and await self._cache.unlock(self._key, token)

    async def __aenter__(self) -> DistributedLock:
        if not await self.acquire():
            raise CacheOperationError(f"another holds the lock; {self._attempts} attempts were made")
        return self

    async def __aexit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if not await self.release() and error_type is None:
            raise LockLost(f"the lock lasted {self._ttl:g} s, and its holder took longer")
