"""What a cache does, however it is reached (spec 1.10, 3.2)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sdk.module_runtime.data.cache.errors import CacheSerializationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counted since this cache was opened; ``None`` where a server does not tell per namespace."""

    hits: int | None = None
    misses: int | None = None
    sets: int | None = None
    deletes: int | None = None
    item_count: int | None = None
    memory_used_bytes: int | None = None
    additional_metrics: Mapping[str, str] = field(default_factory=dict)


class Cache(ABC):
    """Entries of one namespace. No operation reaches beyond it, ``flush`` and ``clear`` included.

    A key has 1 to 1024 bytes of UTF-8. ``ttl`` is in seconds; ``None`` is the default of the configuration. Each
    operation is atomic among all who use the namespace, except that ``set_many`` and ``delete_many`` are so for each
    key. Errors are ``CacheError``.
    """

    @abstractmethod
    async def get(self, key: str) -> bytes | None: ...

    @abstractmethod
    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None: ...

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Whether it was there."""

    @abstractmethod
    async def exists(self, key: str) -> bool: ...

    @abstractmethod
    async def set_nx(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Set if it is not there; whether it was set."""

    @abstractmethod
    async def get_set(self, key: str, value: bytes) -> bytes | None:
        """Set, with the default TTL; what was there before."""

    @abstractmethod
    async def increment(self, key: str, delta: int = 1) -> int:
        """The new number. One that is not there counts from 0, with the default TTL; else the TTL stays.

        ``CacheOperationError`` if the value is no decimal integer, or leaves 64 bits.
        """

    @abstractmethod
    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None: ...

    @abstractmethod
    async def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those that are there."""

    @abstractmethod
    async def delete_many(self, keys: Iterable[str]) -> int:
        """How many were there."""

    @abstractmethod
    async def clear(self, group: str | None = None) -> None:
        """Delete all entries, or those whose key begins with ``group`` and a colon. ``group`` has no colon itself.

        Locks stay.
        """

    @abstractmethod
    async def lock(self, key: str, ttl: float) -> str | None:
        """A token, or None while another holds the lock. ``fence_of(token)`` is greater than that of any before."""

    @abstractmethod
    async def unlock(self, key: str, token: str) -> bool:
        """Whether the token still held the lock."""

    @abstractmethod
    async def stats(self) -> CacheStats: ...

    @abstractmethod
    async def ping(self) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """May be called again."""

    async def flush(self) -> None:
        """As ``clear()``: a flush of a whole server would reach beyond the namespace."""
        await self.clear()

    async def decrement(self, key: str, delta: int = 1) -> int:
        return await self.increment(key, -delta)

    async def get_string(self, key: str) -> str | None:
        found = await self.get(key)
        if found is None:
            return None
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise CacheSerializationError("the value is no UTF-8 text") from None

    async def set_string(self, key: str, value: str, ttl: float | None = None) -> None:
        try:
            data = value.encode()
        except UnicodeEncodeError:
            raise CacheSerializationError("the text holds a lone surrogate, which UTF-8 cannot") from None
        await self.set(key, data, ttl)

    async def get_json(self, key: str) -> Any:
        """None too if it is not there."""
        found = await self.get(key)
        try:
            return None if found is None else json.loads(found)
        except (ValueError, RecursionError):
            raise CacheSerializationError("the value is no JSON") from None

    async def set_json(self, key: str, value: Any, ttl: float | None = None) -> None:
        try:
            data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise CacheSerializationError(f"no JSON can be made of the value: {error}") from None
        await self.set(key, data, ttl)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def fence_of(token: str) -> int:
    """The fencing number in a lock's token: what the lock protects refuses a smaller one than it has seen."""
    number, _, _ = token.partition(".")
    if not (number.isascii() and number.isdigit()):
        raise CacheSerializationError("this lock token has no fencing number; its orchestrator is not ours")
    return int(number)
