"""Patterns over a real cache: what they promise when loads, stores and caches fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sdk.module_runtime.data.cache import (
    CacheAside,
    CacheConfig,
    CacheConnectionError,
    CacheNotUpdated,
    CacheOperationError,
    DistributedLock,
    Invalidation,
    LockLost,
    WriteBehind,
    WriteThrough,
    open_cache,
)
from support.caches import cache_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.module_runtime.data.cache import (
        Cache,
        DirectCache,
    )


@pytest_asyncio.fixture
async def cache(tmp_path: Path) -> AsyncIterator[DirectCache]:
    async with await open_cache(cache_config("Redis", tmp_path)) as opened:
        yield opened
        await opened.clear()


async def instantly(seconds: float) -> None:
    """Time passes."""


async def test_many_who_miss_at_a_time_load_once(cache: Cache) -> None:
    loaded = []

    async def load(key: str) -> bytes:
        loaded.append(key)
        await asyncio.sleep(0)
        return key.encode()

    aside = CacheAside(cache, load)
    assert await asyncio.gather(*(aside.get("a") for _ in range(50))) == [b"a"] * 50
    assert await aside.get("a") == b"a"
    assert loaded == ["a"]
    assert await cache.get("a") == b"a"


async def test_one_who_gives_up_does_not_end_the_load_of_the_others(cache: Cache) -> None:
    go = asyncio.Event()

    async def load(key: str) -> bytes:
        await go.wait()
        return b"x"

    aside = CacheAside(cache, load)
    first, second = asyncio.create_task(aside.get("a")), asyncio.create_task(aside.get("a"))
    async with asyncio.timeout(5):
        while not aside._loading:  # noqa: ASYNC110
            await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == b"x"


async def test_a_failed_load_is_told_and_tried_again(cache: Cache) -> None:
    answers: list[bytes | Exception] = [OSError("down"), b"x"]

    async def load(key: str) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    aside = CacheAside(cache, load)
    with pytest.raises(OSError, match="down"):
        await aside.get("a")
    assert await aside.get("a") == b"x"


async def test_a_cache_that_is_gone_is_left_aside() -> None:
    cache = await open_cache(CacheConfig())
    await cache.close()

    async def load(key: str) -> bytes:
        return b"loaded"

    assert await CacheAside(cache, load).get("a") == b"loaded"


async def test_write_through_leaves_no_old_value_whatever_fails(cache: DirectCache) -> None:
    stored: dict[str, bytes] = {}
    cache = await open_cache(cache.config)  # which the test closes

    async def store(key: str, value: bytes) -> None:
        if value == b"refuse":
            raise OSError("full")
        if value == b"close":
            await cache.close()
        stored[key] = value

    through = WriteThrough(cache, store)
    await through.set("a", b"1")
    assert (stored["a"], await cache.get("a")) == (b"1", b"1")
    with pytest.raises(OSError, match="full"):
        await through.set("a", b"refuse")
    assert (stored["a"], await cache.get("a")) == (b"1", None)
    with pytest.raises(CacheNotUpdated, match="stored, but not cached"):
        await through.set("a", b"close")
    assert stored["a"] == b"close"
    with pytest.raises(CacheConnectionError):
        await through.set("a", b"2")
    assert stored["a"] == b"close", "nothing is stored when the cache cannot forget the old value"


async def test_write_behind_stores_the_last_value_and_tells_what_it_could_not(cache: Cache) -> None:
    stored: dict[str, bytes] = {}
    failed: list[tuple[str, bytes, str]] = []
    refusals = {"flaky": 2, "dead": 1000}

    async def store(key: str, value: bytes) -> None:
        if refusals.get(key, 0) > 0:
            refusals[key] -= 1
            raise OSError("busy")
        stored[key] = value

    async with WriteBehind(
        cache, store, lambda *told: failed.append((told[0], told[1], str(told[2]))), most_waiting=3, sleep=instantly
    ) as behind:
        for number in range(20):
            await behind.set(f"k{number % 7}", b"%d" % number)
        await behind.set("flaky", b"x")
        await behind.set("dead", b"lost")
        assert await cache.get("dead") == b"lost"
    assert stored == {f"k{number % 7}": b"%d" % number for number in range(13, 20)} | {"flaky": b"x"}
    assert failed == [("dead", b"lost", "busy")]
    with pytest.raises(CacheOperationError, match="nothing writes behind"):
        await behind.set("late", b"x")


async def test_an_event_makes_exactly_its_groups_stale(cache: Cache) -> None:
    await cache.set_many({"user:1": b"x", "team:1": b"x", "note:1": b"x"})
    invalidation = Invalidation(cache, {"user_changed": ["user", "team"]})
    await invalidation.happened("user_changed")
    assert list(await cache.get_many(["user:1", "team:1", "note:1"])) == ["note:1"]
    with pytest.raises(CacheOperationError, match="no groups"):
        await invalidation.happened("unknown")


async def test_holders_of_a_lock_never_overlap_and_their_fences_rise(cache: Cache) -> None:
    inside, fences = 0, []

    async def impatient(seconds: float) -> None:
        await asyncio.sleep(0)

    async def work() -> None:
        nonlocal inside
        async with DistributedLock(cache, "job", 30, attempts=1000, sleep=impatient) as lock:
            inside += 1
            assert inside == 1
            fences.append(lock.fence)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(8)))
    assert fences == sorted(set(fences))
    assert len(fences) == 8


async def test_a_lock_that_is_held_is_tried_as_often_as_said(cache: Cache) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    assert await cache.lock("job", 3000)
    lock = DistributedLock(cache, "job", 30, sleep=sleep, jitter=lambda: 1.0)
    with pytest.raises(CacheOperationError, match="5 attempts"):
        async with lock:
            pytest.fail("another holds it")
    assert waits == [0.1, 0.2, 0.4, 0.8]
    with pytest.raises(CacheOperationError, match="not held"):
        _ = lock.fence


async def test_a_holder_that_took_too_long_is_told() -> None:
    now = 0.0
    cache = await open_cache(CacheConfig(), clock=lambda: now)

    async def late_and_wrong() -> None:
        nonlocal now
        async with DistributedLock(cache, "job", 5):
            now = 20.0
            raise ValueError("its own error goes first")

    with pytest.raises(LockLost, match="its holder took longer"):
        async with DistributedLock(cache, "job", 5):
            now = 6.0
    with pytest.raises(ValueError, match="its own error goes first"):
        await late_and_wrong()
