"""A cache in the memory of this process."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.module_runtime.data.cache.backend import Usage, added, next_token
from sdk.module_runtime.data.cache.errors import CacheFull
from sdk.module_runtime.data.cache.policies import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OVERHEAD: Final = 32
"""Bytes counted for an entry beside its key and value, as in the reference."""
MOST_LOCKS: Final = 100_000


class _Entry(NamedTuple):
    value: bytes
    expires: float | None
    size: int


class MemoryBackend:
    """``clock`` is monotonic and ``wall`` is not; both in seconds. An entry is gone once ``clock()`` is at its end."""

    def __init__(self, policy: str, max_size_bytes: int, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._order, self._limit, self._clock, self._wall = ORDERS[policy](), max_size_bytes, clock, wall
        self._entries: dict[str, _Entry] = {}
        self._ends: list[tuple[float, str]] = []
        """A heap of when entries end; some of them are gone, or end at another time by now."""
        self._locks: dict[str, tuple[str, float]] = {}
        self._fence = 0
        self._used = self._evicted = self._expired = 0

    async def get(self, key: str) -> bytes | None:
        entry = self._live(key)
        if entry is None:
            return None
        self._order.touch(key)
        return entry.value

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        self._put(key, value, None if ttl is None else self._clock() + ttl)

    async def delete(self, key: str) -> bool:
        if self._live(key) is None:
            return False
        self._remove(key)
        return True

    async def exists(self, key: str) -> bool:
        return self._live(key) is not None

    async def set_nx(self, key: str, value: bytes, ttl: float | None) -> bool:
        if self._live(key) is not None:
            return False
        await self.set(key, value, ttl)
        return True

    async def get_set(self, key: str, value: bytes, ttl: float | None) -> bytes | None:
        found = self._live(key)
        await self.set(key, value, ttl)
        return None if found is None else found.value

    async def increment(self, key: str, delta: int, ttl: float | None) -> int:
        found = self._live(key)
        value = added(None if found is None else found.value, delta)
        if found is None:
            await self.set(key, value, ttl)
        else:
            self._put(key, value, found.expires)
        return int(value)

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None) -> None:
        for key, value in items.items():
            await self.set(key, value, ttl)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: found for key in keys if (found := await self.get(key)) is not None}

    async def delete_many(self, keys: Sequence[str]) -> int:
        return sum([await self.delete(key) for key in keys])

    async def clear(self, group: str | None) -> None:
        prefix = "" if group is None else f"{group}:"
        for key in [key for key in self._entries if key.startswith(prefix)]:
            self._remove(key)

    async def lock(self, key: str, ttl: float) -> str | None:
        """Locks are not entries: no policy evicts one."""
        now = self._clock()
        held = self._locks.get(key)
        if held is not None and now < held[1]:
            return None
        if len(self._locks) >= MOST_LOCKS:
            self._locks = {each: held for each, held in self._locks.items() if now < held[1]}
            if len(self._locks) >= MOST_LOCKS:
                raise CacheFull(f"{MOST_LOCKS} locks are held; give some back")
        self._fence, token = next_token(self._fence, self._wall())
        self._locks[key] = (token, now + ttl)
        return token

    async def unlock(self, key: str, token: str) -> bool:
        held = self._locks.get(key)
        if held is None or held[0] != token:
            return False
        del self._locks[key]
        return self._clock() < held[1]

    async def usage(self) -> Usage:
        self._drop_expired()
        metrics = {"evictions": str(self._evicted), "expirations": str(self._expired)}
        return Usage(len(self._entries), self._used, metrics)

    async def ping(self) -> None:
        """It is always there."""

    async def close(self) -> None:
        await self.clear(None)

    def _live(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None or entry.expires is None or self._clock() < entry.expires:
            return entry
        self._remove(key)
        self._expired += 1
        return None

    def _put(self, key: str, value: bytes, expires: float | None) -> None:
        size = len(key.encode()) + len(value) + OVERHEAD
        if size > self._limit:
            raise CacheFull(f"an entry of {size} bytes is larger than the whole cache ({self._limit} bytes)")
        self._live(key)  # one that has expired is no old value
        if self._used + size > self._limit:
            self._drop_expired()
        old = self._entries.get(key)
        more = size if old is None else size - old.size
        if old is not None:
            self._order.add(key)
        while self._used + more > self._limit:
            self._remove(self._order.victim(but=key))
            self._evicted += 1
        if old is None:
            self._order.add(key)
        self._entries[key] = _Entry(value, expires, size)
        self._used += more
        if expires is not None:
            self._remember_end(expires, key)

    def _remember_end(self, expires: float, key: str) -> None:
        heapq.heappush(self._ends, (expires, key))
        if len(self._ends) > 2 * len(self._entries) + 64:
            self._ends = [(each.expires, key) for key, each in self._entries.items() if each.expires is not None]
            heapq.heapify(self._ends)

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            expires, key = heapq.heappop(self._ends)
            entry = self._entries.get(key)
            if entry is not None and entry.expires == expires:
                self._remove(key)
                self._expired += 1

    def _remove(self, key: str) -> None:
        self._used -= self._entries.pop(key).size
        self._order.remove(key)
