"""What a kind of cache must do for ``DirectCache``. A backend is bound to one namespace, and keys are checked."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from sdk.module_runtime.data.cache.errors import CacheOperationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

I64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Usage:
    item_count: int | None = None
    memory_used_bytes: int | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """``ttl`` None means for ever. ``lock`` answers ``FENCE.NONCE``, each fence greater than the one before."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, ttl: float | None) -> None: ...
    async def delete(self, key: str) -> bool: ...
    async def exists(self, key: str) -> bool: ...
    async def set_nx(self, key: str, value: bytes, ttl: float | None) -> bool: ...
    async def get_set(self, key: str, value: bytes, ttl: float | None) -> bytes | None: ...
    async def increment(self, key: str, delta: int, ttl: float | None) -> int: ...
    async def set_many(self, items: Mapping[str, bytes], ttl: float | None) -> None: ...
    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]: ...
    async def delete_many(self, keys: Sequence[str]) -> int: ...
    async def clear(self, group: str | None) -> None: ...
    async def lock(self, key: str, ttl: float) -> str | None: ...
    async def unlock(self, key: str, token: str) -> bool: ...
    async def usage(self) -> Usage: ...
    async def ping(self) -> None: ...
    async def close(self) -> None: ...


def added(value: bytes | None, delta: int) -> bytes:
    """``value + delta`` in decimal; ``CacheOperationError`` if that is no 64-bit integer."""
    if value is not None and (len(value) > 20 or not value.removeprefix(b"-").isdigit()):
        raise CacheOperationError("the value is no decimal integer, so it cannot be incremented")
    total = int(value or 0) + delta
    if total not in I64:
        raise CacheOperationError("the sum leaves 64 bits")
    return b"%d" % total


def next_token(last_fence: int, wall: float) -> tuple[int, str]:
    """The next fence, and the lock's token. Microseconds of wall time keep the fence rising where the last is lost."""
    fence = max(last_fence + 1, int(wall * 1_000_000))
    return fence, f"{fence}.{secrets.token_hex(16)}"


def group_of(key: str) -> str | None:
    """What ``clear(group)`` would have to name to reach this key."""
    group, colon, _ = key.partition(":")
    return group if colon else None
